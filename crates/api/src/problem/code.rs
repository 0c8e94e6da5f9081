//! Every way in which a request can be refused, as a stable word that clients may rely on.
//!
//! The words, their statuses and their meanings are written here and nowhere else; `/openapi.json` is made of them.

use axum::http::StatusCode;

macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $status:ident $word:literal $title:literal,)+) => {
        /// A stable word for what is wrong. New ones may be added; none changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
        pub(crate) enum Code {
            $($(#[doc = $meaning])+ #[serde(rename = $word)] #[schema(rename = $word)] $variant,)+
        }

        impl Code {
            /// Every code, in the order of declaration.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word itself.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The status that goes with it, always the same.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// The kind of problem in a few words.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// When it is answered, for the documentation.
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_ascii(),)+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON, ends early, or is missing where one is needed.
    BadJson = BAD_REQUEST "bad_json" "The body is not JSON",
    /// The body is not UTF-8.
    BadUtf8 = BAD_REQUEST "bad_utf8" "The body is not UTF-8",
    /// The `Idempotency-Key` is not 1 to 255 visible ASCII characters, or came twice.
    BadIdempotencyKey = BAD_REQUEST "bad_idempotency_key" "The Idempotency-Key cannot be used",
    /// The body of the webhook broke off.
    BadHook = BAD_REQUEST "bad_hook" "The webhook ended early",
    /// No API key came with the request, or one that is unknown or revoked.
    Unauthorized = UNAUTHORIZED "unauthorized" "A valid API key is needed",
    /// The channel has a secret for webhooks, and this one does not show that it comes from the gateway.
    HookRefused = UNAUTHORIZED "hook_refused" "The webhook shows no right to come",
    /// The API key is valid but lacks the scope that the call needs.
    ScopeMissing = FORBIDDEN "scope_missing" "The API key may not do this",
    /// The channel is not entitled to channel syncs (`import_messages`).
    FeatureMissing = FORBIDDEN "feature_missing" "The channel lacks a feature",
    /// There is nothing at this path.
    NotFound = NOT_FOUND "not_found" "Nothing is here",
    /// There is no channel with this id.
    ChannelNotFound = NOT_FOUND "channel_not_found" "No such channel",
    /// There is no sync with this id.
    SyncNotFound = NOT_FOUND "sync_not_found" "No such sync",
    /// The channel has no contact with this address.
    ContactNotFound = NOT_FOUND "contact_not_found" "No such contact",
    /// The path exists, but not with this method.
    MethodNotAllowed = METHOD_NOT_ALLOWED "method_not_allowed" "Not with this method",
    /// A channel sync of this channel is still open, or a media sync where another one is asked for; `running_sync` names it.
    SyncRunning = CONFLICT "sync_running" "Such a sync is running already",
    /// No place for files is set: give `media_target` to API and workers, and start them again.
    MediaOff = CONFLICT "media_off" "Files are not fetched here",
    /// The channel cannot go while a sync of it is open; `open_sync` names one.
    SyncOpen = CONFLICT "sync_open" "The channel has an open sync",
    /// The channel stands still, and this would wait for somebody to resume it.
    ChannelPaused = CONFLICT "channel_paused" "The channel is paused",
    /// The sync is over and cannot be steered any more.
    SyncOver = CONFLICT "sync_over" "The sync is over",
    /// The body is larger than the call takes: 32 MiB for a channel sync and its plan, 8 MiB for limits, `hook_max_body_mb` for a
    /// webhook, 1 MiB for everything else.
    BodyTooLarge = PAYLOAD_TOO_LARGE "body_too_large" "The body is too large",
    /// The body is not declared as `application/json`.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" "The body must be JSON",
    /// A field or query parameter that the call does not know.
    UnknownField = UNPROCESSABLE_ENTITY "unknown_field" "A field is not known",
    /// A field that the call needs is missing.
    MissingField = UNPROCESSABLE_ENTITY "missing_field" "A field is missing",
    /// A field or query parameter has the wrong type or is out of its bounds.
    InvalidValue = UNPROCESSABLE_ENTITY "invalid_value" "A value cannot be used",
    /// An address that is no JID at all.
    MalformedJid = UNPROCESSABLE_ENTITY "malformed_jid" "An address is malformed",
    /// An address of a group, broadcast list, newsletter or bot: only persons can be synced.
    NotAPerson = UNPROCESSABLE_ENTITY "not_a_person" "An address is not a person's",
    /// A LID where a phone JID is meant, or the other way round.
    WrongJidKind = UNPROCESSABLE_ENTITY "wrong_jid_kind" "An address is of the other kind",
    /// The gateway's address is not an http(s) root without user, query and fragment.
    BadBaseUrl = UNPROCESSABLE_ENTITY "bad_base_url" "The gateway's address cannot be used",
    /// The credentials do not have the shape that the provider asks for.
    BadCredentials = UNPROCESSABLE_ENTITY "bad_credentials" "The credentials cannot be used",
    /// A provider that this version knows of but cannot talk to yet.
    ProviderUnavailable = UNPROCESSABLE_ENTITY "provider_unavailable" "The provider is not available",
    /// The channel's provider has no way to do what is asked for.
    NotSupported = UNPROCESSABLE_ENTITY "not_supported" "The provider cannot do this",
    /// More contacts in one request than 100,000.
    TooManyContacts = UNPROCESSABLE_ENTITY "too_many_contacts" "Too many contacts",
    /// A contact list without contacts; leave it out to sync everybody.
    NoContacts = UNPROCESSABLE_ENTITY "no_contacts" "The contact list is empty",
    /// A contact with neither a phone JID nor a LID.
    ContactWithoutAddress = UNPROCESSABLE_ENTITY "contact_without_address" "A contact has no address",
    /// The same address twice in one list; the field names its second place.
    DuplicateContact = UNPROCESSABLE_ENTITY "duplicate_contact" "A contact is listed twice",
    /// What a rule is about is neither `provider/*` nor `provider/host:port` nor a channel's id.
    BadMatch = UNPROCESSABLE_ENTITY "bad_match" "A rule is about nothing known",
    /// Two rules about the same; the field names the second one.
    DuplicateRule = UNPROCESSABLE_ENTITY "duplicate_rule" "Two rules are about the same",
    /// A rule about a channel that there is not.
    UnknownChannel = UNPROCESSABLE_ENTITY "unknown_channel" "A rule is about no channel",
    /// More rules than 10,000.
    TooManyRules = UNPROCESSABLE_ENTITY "too_many_rules" "Too many rules",
    /// The same `Idempotency-Key` came with another request within 24 hours.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY "idempotency_key_reused" "The Idempotency-Key belongs to another request",
    /// Our fault; the log says more under the request's `x-request-id`.
    Internal = INTERNAL_SERVER_ERROR "internal" "An internal error",
    /// The database is away; try again after `Retry-After`. Only a change that was under way may have been made.
    LedgerUnavailable = SERVICE_UNAVAILABLE "ledger_unavailable" "The database is unavailable",
    /// Redis does not answer, and nobody else knows what is asked for; try again after `Retry-After`.
    QueueUnavailable = SERVICE_UNAVAILABLE "queue_unavailable" "The queue is unavailable",
    /// The call took longer than 30 s and was given up; it may or may not have been done.
    TimedOut = SERVICE_UNAVAILABLE "timed_out" "The request took too long",
    /// This process serves as many event streams as it may; try again after `Retry-After`.
    TooManyStreams = SERVICE_UNAVAILABLE "too_many_streams" "Too many event streams",
}

impl Code {
    /// What every call that needs a key can answer.
    pub(crate) const ANY: &[Self] = &[
        Self::Unauthorized,
        Self::ScopeMissing,
        // A query parameter, also where a call takes none.
        Self::UnknownField,
        Self::Internal,
        Self::LedgerUnavailable,
        Self::TimedOut,
    ];
    /// What every call that reads a body can answer.
    pub(crate) const BODY: &[Self] = &[
        Self::BadJson,
        Self::BadUtf8,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::UnknownField,
        Self::MissingField,
        Self::InvalidValue,
    ];
    /// What every call that reads query parameters can answer.
    pub(crate) const QUERY: &[Self] = &[Self::InvalidValue];
    /// What every call that takes an address can answer.
    pub(crate) const ADDRESS: &[Self] = &[Self::MalformedJid, Self::NotAPerson];
    /// What every call that is about the contacts of a channel to be synced can answer.
    pub(crate) const SYNC_OF_CHANNEL: &[Self] = &[
        Self::ChannelNotFound,
        Self::FeatureMissing,
        Self::WrongJidKind,
        Self::TooManyContacts,
        Self::NoContacts,
        Self::ContactWithoutAddress,
        Self::DuplicateContact,
        Self::ProviderUnavailable,
        Self::NotSupported,
    ];
    /// What every call that honours an `Idempotency-Key` can answer.
    pub(crate) const IDEMPOTENCY: &[Self] = &[Self::BadIdempotencyKey, Self::IdempotencyKeyReused];
}
