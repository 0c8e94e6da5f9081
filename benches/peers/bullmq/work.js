// What a job is: fetch the chat, parse the answer, store five messages and the result in one transaction.

const INSERT_MESSAGES = `
  INSERT INTO messages (channel_id, message_id, address, from_me, sent_at, kind, text, payload, job_id, stored_at)
  SELECT $1, m.message_id, $2, m.sender_jid = 'me', m.timestamp, m.message_type, m.text_content, m.payload, $3, now()
  FROM unnest($4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::text[], $9::json[])
       AS m(message_id, sender_jid, timestamp, message_type, text_content, payload)
  ON CONFLICT DO NOTHING`;

const INSERT_RESULT = `
  INSERT INTO results (job_id, channel_id, address, state, fetched, stored, settled_at)
  VALUES ($1, $2, $3, 'succeeded', $4, $5, now()) ON CONFLICT (job_id) DO NOTHING`;

export async function work(job, gateway, pool) {
  const { channel, token, address } = job.data;
  const rows = await read(gateway, token, address);
  await store(pool, job.id, channel, address, rows);
}

async function read(gateway, token, address) {
  const url = `${gateway}/chat/history?chat_jid=${encodeURIComponent(address)}&limit=100`;
  const response = await fetch(url, { headers: { token } });
  if (!response.ok) throw new Error(`the gateway answered ${response.status}`);
  const answer = await response.json();
  return answer.data ?? [];
}

async function store(pool, job, channel, address, rows) {
  const column = (name) => rows.map((row) => row[name]);
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const { rowCount } = await client.query({
      name: 'messages',
      text: INSERT_MESSAGES,
      values: [channel, address, job, ...COLUMNS.map(column), rows.map((row) => JSON.stringify(row))],
    });
    await client.query({ name: 'result', text: INSERT_RESULT, values: [job, channel, address, rows.length, rowCount] });
    await client.query('COMMIT');
    client.release();
  } catch (error) {
    // The transaction goes with its connection.
    client.release(error);
    throw error;
  }
}

const COLUMNS = ['message_id', 'sender_jid', 'timestamp', 'message_type', 'text_content'];
