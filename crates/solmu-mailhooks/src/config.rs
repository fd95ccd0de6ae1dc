//! Configuration of the webhooks of mail providers.
//!
//! A webhook without a secret would take mail from anybody in anybody's name, so it is an error at start.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_secret::Secret;
use solmu_secret::signature::{SecretError, SendgridKeyError};

use crate::Vendor;

/// Webhooks of mail providers (inbound parse, and events of sent mail).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebhooksConfig {
    /// Largest request, in bytes. Postmark sends attachments of 35 MB in base64.
    pub max_body_bytes: usize,
    /// Bytes of requests that are worked on at the same time; what comes beyond is told to come again (503). A part of
    /// it is set apart for each provider, so that none takes the place of the others.
    pub max_waiting_bytes: usize,
    /// Seconds that a Mailgun signature is good for. Longer than Mailgun repeats (8 hours), because a repeat after an
    /// outage may carry its first signature; within that time each token is good for one content only.
    pub mailgun_max_age_seconds: u32,
    /// Mailgun.
    pub mailgun: Vec<MailgunHook>,
    /// SendGrid.
    pub sendgrid: Vec<SendgridHook>,
    /// Postmark.
    pub postmark: Vec<PostmarkHook>,
    /// Amazon SES over SNS.
    pub ses: Vec<SesHook>,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 64 * 1024 * 1024,
            max_waiting_bytes: 256 * 1024 * 1024,
            mailgun_max_age_seconds: 12 * 60 * 60,
            mailgun: Vec::new(),
            sendgrid: Vec::new(),
            postmark: Vec::new(),
            ses: Vec::new(),
        }
    }
}

/// A domain at Mailgun. Routes forward to `/webhooks/mailgun/<name>/mime`, events go to `/webhooks/mailgun/<name>`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MailgunHook {
    /// Name in the path: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// The HTTP webhook signing key.
    pub signing_key: Secret,
    /// The key before, while it is being changed.
    pub previous_signing_key: Secret,
    /// E-mail account that takes mail whose recipients are none of ours. Such mail is refused if empty.
    pub account: String,
    /// Name under which the provider itself writes Authentication-Results (`amazonses.com` for SES). If empty, no sender
    /// is verified: the name of our own exchanger never counts here.
    pub authserv_id: String,
}

/// A host at SendGrid. Its parse webhook is `/webhooks/sendgrid/<name>`, its event webhook
/// `/webhooks/sendgrid/<name>/events`; with a path token, `/<token>` follows.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SendgridHook {
    /// Name in the path: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Secret last segment of the path: at least 20 of `A-Z a-z 0-9 - _`.
    pub path_token: Secret,
    /// User of basic authentication (`https://user:password@host/...` in SendGrid's settings).
    pub basic_user: String,
    /// Password of basic authentication.
    pub basic_password: Secret,
    /// The password before, while it is being changed.
    pub previous_basic_password: Secret,
    /// Verification key of the signed event webhook. With it events need no other proof, and none is enough without it.
    pub event_public_key: String,
    /// Verification key of a security policy for Inbound Parse. With it mail needs no other proof, and none is enough
    /// without it; and only with it SendGrid's word on SPF and DKIM counts, because only then it is certainly
    /// SendGrid's.
    pub parse_public_key: String,
    /// E-mail account that takes mail whose recipients are none of ours. Such mail is refused if empty.
    pub account: String,
    /// Name under which the provider itself writes Authentication-Results (`amazonses.com` for SES). If empty, no sender
    /// is verified: the name of our own exchanger never counts here.
    pub authserv_id: String,
}

/// A server at Postmark. Inbound, bounce, delivery and spam webhooks are all `/webhooks/postmark/<name>`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostmarkHook {
    /// Name in the path: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// User of basic authentication.
    pub basic_user: String,
    /// Password of basic authentication.
    pub basic_password: Secret,
    /// The password before, while it is being changed.
    pub previous_basic_password: Secret,
    /// E-mail account that takes mail whose recipients are none of ours. Such mail is refused if empty.
    pub account: String,
    /// Name under which the provider itself writes Authentication-Results (`amazonses.com` for SES). If empty, no sender
    /// is verified: the name of our own exchanger never counts here.
    pub authserv_id: String,
}

/// A receipt rule or event destination of Amazon SES. SNS posts to `/webhooks/ses/<name>`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SesHook {
    /// Name in the path: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// ARNs of the topics that are ours. Every AWS account can make SNS sign, so this list is the secret's place.
    pub topic_arns: Vec<String>,
    /// Bucket of the receipt rule's S3 action. Mail over 150 KB comes only that way.
    pub bucket: Option<BucketConfig>,
    /// E-mail account that takes mail whose recipients are none of ours. Such mail is refused if empty.
    pub account: String,
    /// Name under which the provider itself writes Authentication-Results (`amazonses.com` for SES). If empty, no sender
    /// is verified: the name of our own exchanger never counts here.
    pub authserv_id: String,
}

/// A bucket that Amazon SES stores mail in. What a notification names is fetched only from here.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BucketConfig {
    /// Name of the bucket.
    pub name: String,
    /// Region of the bucket, such as `eu-north-1`.
    pub region: String,
    /// Prefix of the objects; what a notification names outside it is refused.
    pub prefix: String,
    /// Base URL of another service that speaks S3. Amazon's own if empty.
    pub endpoint: String,
    /// Access key; it needs `s3:GetObject` on the prefix and nothing else. Empty: what the environment of the process
    /// gives (`AWS_*` variables, web identity, the role of the container or machine).
    pub access_key_id: String,
    /// Secret of the access key.
    pub secret_access_key: Secret,
    /// Bytes of the largest mail that is fetched. Of a larger one the header is taken, with a notice that the mail itself
    /// stays in the bucket. SES takes in up to 40 MB.
    pub max_object_bytes: usize,
}

impl Default for BucketConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            region: String::new(),
            prefix: String::new(),
            endpoint: String::new(),
            access_key_id: String::new(),
            secret_access_key: Secret::default(),
            max_object_bytes: 40 * 1024 * 1024,
        }
    }
}

/// A webhook that would not be safe or would not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// Anybody could post to it.
    #[error("webhook '{name}' of {vendor} cannot tell who posts")]
    Secret {
        /// Which provider.
        vendor: &'static str,
        /// Which webhook.
        name: String,
        /// What is wrong with the secret.
        #[source]
        source: SecretError,
    },
    /// The verification key is none.
    #[error("webhook '{name}' of sendgrid: '{key}' cannot be used")]
    Key {
        /// Which webhook.
        name: String,
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        #[source]
        source: SendgridKeyError,
    },
    /// Something else.
    #[error("webhook '{name}' of {vendor}: {what}")]
    Hook {
        /// Which provider.
        vendor: &'static str,
        /// Which webhook.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A limit that lets nothing through.
    #[error("'webhooks.{0}' must be more than zero")]
    Zero(&'static str),
    /// Requests of the largest size would never be taken.
    #[error("'webhooks.max_waiting_bytes' must be at least 'webhooks.max_body_bytes'")]
    Waiting,
    /// No client for certificates and confirmations can be made.
    #[error("no http client can be made for the ses webhooks")]
    Client,
    /// No client for a bucket can be made.
    #[error("webhook '{name}' of ses: the bucket cannot be used")]
    Bucket {
        /// Which webhook.
        name: String,
    },
}

impl WebhooksConfig {
    /// Whether there is no webhook at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mailgun.is_empty()
            && self.sendgrid.is_empty()
            && self.postmark.is_empty()
            && self.ses.is_empty()
    }

    pub(crate) fn has(&self, vendor: Vendor) -> bool {
        !match vendor {
            Vendor::Mailgun => self.mailgun.is_empty(),
            Vendor::Sendgrid => self.sendgrid.is_empty(),
            Vendor::Postmark => self.postmark.is_empty(),
            Vendor::Ses => self.ses.is_empty(),
        }
    }
}
