//! The files of messages: what a provider says of one, and fetching it.
//!
//! What is at an address is nobody's gateway: its answers say nothing about the channel, and it is given no credentials.

use std::io::Read as _;

use serde_json::Value;
use sincro_core::{
    gateway::{Call, Refusal},
    media::{Media, MediaPlace},
};
use url::Url;

pub use crate::http::MediaFile;
use crate::{
    excerpt::{self, excerpt},
    gateways::Answered,
    http::{Download, Http, Reply, Request, is_web},
    json,
};

/// Nothing longer is an id or an address.
const LONGEST_PLACE: usize = 8_192;
const LONGEST_WORD: usize = 255;
/// Nothing longer says where a file is instead of being one.
const LONGEST_POINTER: u64 = 64 * 1_024;
/// What the usual servers say of a path that they do not have at all.
const NO_PATH: [&str; 4] = ["cannot get", "no route", "route not found", "page not found"];

/// The word of a refusal that says that a file is gone, whatever its status.
pub(crate) const GONE: &str = "media_gone";

/// What a request for the file of a message came to.
#[derive(Debug)]
pub enum FetchedMedia {
    /// All of it.
    File(MediaFile),
    /// It is longer than it may be.
    TooLarge,
    /// It is to be had at this address, for another request.
    Elsewhere(String),
    /// It is not there any more: what was said.
    Gone(String),
}

/// What an object says of a file, in the names that providers have for that.
pub(crate) fn described(content: &Value) -> Media {
    let word = |names: &[&str], longest: usize| {
        let found = names.iter().find_map(|name| json::field(content, name).and_then(json::text));
        found.map(|word| word.trim().to_owned()).filter(|word| (1..=longest).contains(&word.len()))
    };
    let id = word(&["id"], LONGEST_PLACE).filter(|id| is_id(id)).map(MediaPlace::Id);
    let link = || word(&["link"], LONGEST_PLACE).and_then(|link| at(&link));
    Media {
        place: id.or_else(link),
        mime: word(&["mime_type", "mimeType"], LONGEST_WORD),
        bytes: word(&["file_size", "fileLength", "fileSize"], LONGEST_WORD).and_then(|bytes| bytes.parse().ok()),
        file_name: word(&["filename", "file_name", "fileName"], LONGEST_WORD),
        sha256: word(&["sha256"], LONGEST_WORD),
    }
}

/// An address as a place.
pub(crate) fn at(link: &str) -> Option<MediaPlace> {
    let link = link.trim();
    (link.len() <= LONGEST_PLACE && Url::parse(link).is_ok_and(|url| is_web(&url)))
        .then(|| MediaPlace::Link(link.to_owned()))
}

/// Neither a stand-in for a file that has not come (`media_init`), nor what would lead to another path.
fn is_id(id: &str) -> bool {
    let stand_in = id.to_ascii_lowercase();
    let stand_in =
        stand_in.strip_prefix("media_").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_lowercase()));
    !stand_in && !matches!(id, "." | "..")
}

/// Fetches a file from its gateway. `refuse` is the provider's verdict on a bad status; a file that is gone is none.
pub(crate) async fn by_id(
    http: &Http,
    request: Request,
    most: u64,
    refuse: impl FnOnce(&Reply) -> Refusal,
) -> Result<FetchedMedia, Refusal> {
    let name = request.name().to_owned();
    match http.download(request, most).await? {
        Download::Whole(file) => whole(&name, file),
        Download::TooLarge => Ok(FetchedMedia::TooLarge),
        Download::Elsewhere(url) => Ok(FetchedMedia::Elsewhere(url.into())),
        Download::Refused(reply) => match refuse(&reply) {
            Refusal::Permanent { code: GONE, detail } => Ok(FetchedMedia::Gone(detail)),
            Refusal::Permanent { detail, .. } | Refusal::Transient { detail, .. } if is_gone(&reply) => {
                Ok(FetchedMedia::Gone(detail))
            }
            refusal => Err(refusal),
        },
    }
}

/// Fetches what is at an address. `prepare` may add what only that address may be given.
pub(crate) async fn at_link(
    http: &Http,
    link: &str,
    most: u64,
    prepare: impl FnOnce(&Url, Request) -> Option<Request>,
) -> Result<FetchedMedia, Refusal> {
    let bad = |problem: &str| Refusal::Permanent { code: "bad_link", detail: format!("GET a link: {problem}") };
    let url = Url::parse(link).ok().filter(is_web).ok_or_else(|| bad("no http or https address"))?;
    let request = Request::link(url.clone());
    let name = request.name().to_owned();
    let request = prepare(&url, request).ok_or_else(|| bad("no header can hold the token"))?;
    match http.download(request, most).await.map_err(of_link)? {
        Download::Whole(file) => whole(&name, file),
        Download::TooLarge => Ok(FetchedMedia::TooLarge),
        Download::Elsewhere(url) => {
            let host = excerpt(url.host_str().unwrap_or_default(), excerpt::BODY);
            let detail = format!("{name}: redirects to {host}; the redirects of a link are not followed");
            Err(Refusal::Permanent { code: "redirect", detail })
        }
        Download::Refused(reply) => refused_link(&name, &reply),
    }
}

/// [`at_link`] without credentials.
pub(crate) async fn at_bare_link(http: &Http, link: &str, most: u64) -> Result<FetchedMedia, Refusal> {
    at_link(http, link, most, |_, request| Some(request)).await
}

/// Where a file is that came as an object which only says so (`{"url":".."}`, as Meta answers); the file itself where it is one.
pub(crate) fn followed(fetched: FetchedMedia, mime: Option<&str>) -> FetchedMedia {
    let FetchedMedia::File(mut file) = fetched else { return fetched };
    // A file of JSON is somebody's, and one of no known type may be: what it says is not followed.
    let is_json = |kind: &str| kind.to_ascii_lowercase().contains("json");
    let says_so = file.content_type.as_deref().is_some_and(is_json) && mime.is_some_and(|mime| !is_json(mime));
    if !says_so || file.bytes > LONGEST_POINTER {
        return FetchedMedia::File(file);
    }
    let mut text = String::new();
    let read = file.file().read_to_string(&mut text);
    let link = json::object(&text).and_then(|object| {
        let places: [&[&str]; 2] = [&["url"], &["data", "url"]];
        places.iter().find_map(|place| json::at(&object, place).and_then(json::text)).and_then(|link| at(&link))
    });
    match (read, link) {
        (Ok(_), Some(MediaPlace::Link(link))) => FetchedMedia::Elsewhere(link),
        _ => FetchedMedia::File(file),
    }
}

/// A page where a picture should be is what stands in front of a file, such as a place to log in.
pub(crate) fn expected(call: &Call, answered: Answered) -> Result<Answered, Refusal> {
    if let (Call::Media { mime, .. }, Answered::Media(FetchedMedia::File(file))) = (call, &answered) {
        let is_page = |kind: &str| kind.to_ascii_lowercase().contains("html");
        if file.content_type.as_deref().is_some_and(is_page) && mime.as_deref().is_some_and(|mime| !is_page(mime)) {
            let detail = format!("{}: a page came where a file should be", call.name());
            return Err(Refusal::Permanent { code: "not_the_file", detail });
        }
    }
    Ok(answered)
}

fn whole(name: &str, file: MediaFile) -> Result<FetchedMedia, Refusal> {
    if file.bytes == 0 {
        let detail = format!("{name}: the answer is an empty file");
        return Err(Refusal::Transient { code: "unreadable_answer", detail });
    }
    Ok(FetchedMedia::File(file))
}

/// Whether an answer says that there is no such file, rather than no such call.
fn is_gone(reply: &Reply) -> bool {
    let said: String = reply.body.chars().take(1_000).collect::<String>().to_ascii_lowercase();
    reply.status == 410 || (reply.status == 404 && !NO_PATH.iter().any(|words| said.contains(words)))
}

/// What somebody who is not the gateway refuses is the file's trouble alone.
fn refused_link(name: &str, reply: &Reply) -> Result<FetchedMedia, Refusal> {
    let detail = format!("{name}: {}", reply.status);
    match reply.status {
        404 | 410 => Ok(FetchedMedia::Gone(detail)),
        408 | 425 | 429 | 500.. => Err(Refusal::Transient { code: "link_refused", detail }),
        _ => Err(Refusal::Permanent { code: "link_refused", detail }),
    }
}

/// The same of who does not answer at all: it says nothing of the gateway's server.
fn of_link(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Unreachable { detail } => Refusal::Transient { code: "connection", detail },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_providers_say_of_a_file_is_read_under_each_of_their_names() {
        for content in [
            json!({"id": "m1", "mime_type": "image/jpeg", "file_size": 12, "filename": "a.jpg", "sha256": "9b"}),
            json!({"id": "m1", "mimeType": "image/jpeg", "fileLength": "12", "fileName": "a.jpg", "sha256": "9b"}),
        ] {
            let media = described(&content);
            assert_eq!(media.place, Some(MediaPlace::Id("m1".into())));
            assert_eq!((media.mime.as_deref(), media.bytes), (Some("image/jpeg"), Some(12)));
            assert_eq!((media.file_name.as_deref(), media.sha256.as_deref()), (Some("a.jpg"), Some("9b")));
        }
    }

    #[test]
    fn a_stand_in_is_no_place_and_a_link_is_one_where_there_is_no_id() {
        let place = |content: Value| described(&content).place;
        for id in ["media_init", "MEDIA_PENDING", "", "..", "."] {
            assert_eq!(place(json!({"id": id})), None, "{id}");
            let link = place(json!({"id": id, "link": "https://store/a?b=c"}));
            assert_eq!(link, Some(MediaPlace::Link("https://store/a?b=c".into())), "{id}");
        }
        assert_eq!(
            place(json!({"id": "jpeg-AbC", "link": "https://store/a"})),
            Some(MediaPlace::Id("jpeg-AbC".into()))
        );
        for link in ["file:///etc/passwd", "ftp://a/b", "data:image/png;base64,AA==", "https://user:pw@a/b", "/a"] {
            assert_eq!(place(json!({"link": link})), None, "{link}");
        }
    }

    #[test]
    fn what_a_link_refuses_is_the_trouble_of_one_file() {
        let reply = |status| Reply::of(status, "");
        assert!(matches!(refused_link("GET a link", &reply(404)), Ok(FetchedMedia::Gone(_))));
        for (status, again) in [(401, false), (403, false), (429, true), (503, true)] {
            let refusal = refused_link("GET a link", &reply(status)).unwrap_err();
            assert_eq!(matches!(refusal, Refusal::Transient { .. }), again, "{status}");
            assert!(again || matches!(refusal, Refusal::Permanent { .. }), "{status}");
        }
    }
}
