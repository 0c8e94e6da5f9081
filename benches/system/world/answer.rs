//! What a gateway answers: as asternic/wuzapi words it, five messages in every chat.

/// Messages in every chat.
pub(crate) const MESSAGES: usize = 5;

/// What `/chat/history` answers, with what stands for the chat and for its digits.
pub(crate) fn history(chat: &str, digits: &str) -> String {
    let row = |number: usize| {
        let id = format!("3EB0{digits}A{number}");
        format!(
            "{{\"id\":{number},\"user_id\":\"bench\",\"chat_jid\":\"{chat}\",\"sender_jid\":\"{chat}\",\"message_id\":\"{id}\",\
             \"timestamp\":\"2026-04-03T12:00:0{number}Z\",\"message_type\":\"text\",\
             \"text_content\":\"a message of some length, as people write them\",\"media_link\":\"\",\"quoted_message_id\":\"\",\
             \"data_json\":\"{{\\\"Info\\\":{{\\\"ID\\\":\\\"{id}\\\",\\\"Timestamp\\\":\\\"2026-01-10T09:00:0{number}Z\\\"}}}}\"}}"
        )
    };
    let rows: Vec<String> = (1..=MESSAGES).map(row).collect();
    format!("{{\"code\":200,\"success\":true,\"data\":[{}]}}", rows.join(","))
}

/// What it answers to the rest of what is asked.
pub(crate) const OTHERS: [(&str, u16, &str); 3] = [
    (
        "/session/status",
        200,
        r#"{"code":200,"success":true,"data":{"id":"bench","name":"bench","connected":true,"loggedIn":true,"jid":"5511999990000:1@s.whatsapp.net"}}"#,
    ),
    ("/user/contacts", 200, r#"{"code":200,"success":true,"data":{}}"#),
    ("/user/lid/", 404, r#"{"code":404,"success":false,"error":"LID not found for this number"}"#),
];

/// The token of a channel.
pub(crate) fn token(channel: usize) -> String {
    format!("token-{channel}")
}

/// The channel of a token.
pub(crate) fn channel_of(token: &str) -> Option<usize> {
    token.strip_prefix("token-")?.parse().ok()
}
