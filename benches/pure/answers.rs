//! What WuzAPI answers to `/chat/history`, read into messages: through the door that the fuzzers have.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use sincro_providers::fuzz::read_answer;

/// WuzAPI, a history, status 200: as the door reads the bytes before the body.
const HISTORY: [u8; 3] = [2, 0, 100];

/// Times a short chat and one as long as can be.
pub(crate) fn time(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read a history");
    for messages in [5, 100] {
        let input = [HISTORY.as_slice(), body(messages).as_bytes()].concat();
        group.throughput(Throughput::Elements(messages));
        group.bench_function(BenchmarkId::from_parameter(messages), |bencher| {
            bencher.iter(|| read_answer(black_box(&input)));
        });
    }
    group.finish();
}

fn body(messages: u64) -> String {
    let chat = "5511988887777@s.whatsapp.net";
    let row = |number: u64| {
        let event = format!(r#"{{\"Info\":{{\"ID\":\"3EB0A{number}\",\"Timestamp\":\"2026-01-10T09:00:00Z\"}}}}"#);
        format!(
            r#"{{"id":{number},"chat_jid":"{chat}","sender_jid":"{chat}","message_id":"3EB0A{number}","timestamp":"2026-04-03T12:00:00Z","message_type":"text","text_content":"a message of some length, as people write them","media_link":"","data_json":"{event}"}}"#
        )
    };
    let rows: Vec<String> = (0..messages).map(row).collect();
    format!(r#"{{"code":200,"success":true,"data":[{}]}}"#, rows.join(","))
}
