// BullMQ at the same work as Sincro, one process for each verb:
//
//   enqueue JOBS                       adds that many jobs in chunks and prints {"seconds"}
//   work JOBS CONCURRENCY CONNECTIONS  completes that many and prints {"completed"}
//   fill CHANNELS JOBS                 adds that many jobs to the queue of each channel
//   limited CHANNELS RATE CONCURRENCY  works on all of these queues under BullMQ's limiter until it is told to stop
//
// REDIS_URL, DATABASE_URL and GATEWAY say where everything is. A worker prints {"ready"} when it works.

import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';

import { work } from './work.js';

const CHUNK = 2_000;
const OPTIONS = { attempts: 5, backoff: { type: 'exponential', delay: 1_000 }, removeOnComplete: true };

const { REDIS_URL, DATABASE_URL, GATEWAY } = process.env;
// What BullMQ asks of a connection that workers wait on.
const connect = () => new Redis(REDIS_URL, { maxRetriesPerRequest: null });
const say = (told) => process.stdout.write(`${JSON.stringify(told)}\n`);
const queueOf = (channel) => `channel-${channel}`;

function job(number, channel) {
  const id = `00000000-0000-7000-8000-${String(channel).padStart(12, '0')}`;
  const address = `${5_510_000_000_000 + number}@s.whatsapp.net`;
  return { name: 'history', data: { channel: id, token: `token-${channel}`, address }, opts: OPTIONS };
}

async function add(name, first, count, channelOf) {
  const connection = connect();
  const queue = new Queue(name, { connection });
  await queue.waitUntilReady();
  const begun = performance.now();
  for (let done = 0; done < count; done += CHUNK) {
    const chunk = [];
    for (let number = done; number < Math.min(done + CHUNK, count); number += 1) {
      chunk.push(job(first + number, channelOf(number)));
    }
    await queue.addBulk(chunk);
  }
  const seconds = (performance.now() - begun) / 1_000;
  await queue.close();
  await connection.quit();
  return seconds;
}

// As many channels as the measurement of Sincro has, a thousand contacts each.
const enqueue = async (jobs) => say({ seconds: await add('history', 0, jobs, (number) => Math.floor(number / 2_000)) });

async function fill(channels, jobs) {
  for (let channel = 0; channel < channels; channel += 1) {
    await add(queueOf(channel), channel * jobs, jobs, () => channel);
  }
  say({ filled: channels * jobs });
}

function worker(name, pool, options) {
  const running = new Worker(name, (taken) => work(taken, GATEWAY, pool), { connection: connect(), ...options });
  running.on('error', (error) => console.error(error.message));
  running.on('failed', (_, error) => console.error(error.message));
  return running;
}

async function complete(jobs, concurrency, connections) {
  const pool = new pg.Pool({ connectionString: DATABASE_URL, max: connections });
  const running = worker('history', pool, { concurrency });
  let left = jobs;
  running.on('completed', () => {
    left -= 1;
    if (left === 0) say({ completed: jobs });
  });
  await running.waitUntilReady();
  say({ ready: true });
}

async function limited(channels, rate, concurrency) {
  const pool = new pg.Pool({ connectionString: DATABASE_URL, max: channels * 2 });
  const options = { concurrency, limiter: { max: rate, duration: 1_000 } };
  const running = Array.from({ length: channels }, (_, channel) => worker(queueOf(channel), pool, options));
  await Promise.all(running.map((each) => each.waitUntilReady()));
  say({ ready: true });
}

const verbs = { enqueue, fill, work: complete, limited };
const [verb, ...numbers] = process.argv.slice(2);
await verbs[verb](...numbers.map(Number));
