//! Checks webhooks at start: names, accounts, and that each can tell who posts.

use std::collections::HashSet;

use jiff::SignedDuration;
use solmu_secret::Secret;
use solmu_secret::signature::{SecretError, SendgridKey, WebhookSecrets};

use crate::{
    Vendor,
    config::{
        BucketConfig, HookError, MailgunHook, PostmarkHook, SendgridHook, SesHook, WebhooksConfig,
    },
};

/// Characters of a token in a path at least: what is shorter can be guessed.
const PATH_TOKEN_MIN: usize = 20;
/// Characters of a webhook's name.
const NAME_MAX: usize = 64;

/// User and passwords of basic authentication.
#[derive(Debug, Clone)]
pub(crate) struct Basic {
    pub(crate) user: String,
    pub(crate) passwords: WebhookSecrets,
}

#[derive(Debug, Clone)]
pub(crate) struct Mailgun {
    pub(crate) keys: WebhookSecrets,
    pub(crate) max_age: SignedDuration,
}

#[derive(Debug, Clone)]
pub(crate) struct Sendgrid {
    pub(crate) basic: Option<Basic>,
    pub(crate) path_token: Option<WebhookSecrets>,
    pub(crate) event_key: Option<SendgridKey>,
    pub(crate) parse_key: Option<SendgridKey>,
}

#[derive(Debug, Clone)]
pub(crate) struct Ses {
    pub(crate) topics: HashSet<String>,
    pub(crate) bucket: Option<BucketConfig>,
}

/// A checked webhook.
#[derive(Debug, Clone)]
pub(crate) struct Checked<T> {
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) authserv_id: String,
    pub(crate) proof: T,
}

/// All webhooks, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct CheckedHooks {
    pub(crate) mailgun: Vec<Checked<Mailgun>>,
    pub(crate) sendgrid: Vec<Checked<Sendgrid>>,
    pub(crate) postmark: Vec<Checked<Basic>>,
    pub(crate) ses: Vec<Checked<Ses>>,
}

impl WebhooksConfig {
    pub(crate) fn checked(
        &self,
        has_account: &dyn Fn(&str) -> bool,
    ) -> Result<CheckedHooks, HookError> {
        for (name, value) in [
            ("max_body_bytes", self.max_body_bytes),
            (
                "mailgun_max_age_seconds",
                self.mailgun_max_age_seconds as usize,
            ),
        ] {
            if value == 0 {
                return Err(HookError::Zero(name));
            }
        }
        if self.max_waiting_bytes < self.max_body_bytes {
            return Err(HookError::Waiting);
        }
        let max_age = SignedDuration::from_secs(self.mailgun_max_age_seconds.into());
        let mailgun = |hook: &MailgunHook| {
            let keys = secrets(
                Vendor::Mailgun,
                &hook.name,
                &hook.signing_key,
                &hook.previous_signing_key,
            )?;
            Ok(Mailgun { keys, max_age })
        };
        let postmark = |hook: &PostmarkHook| {
            basic(
                Vendor::Postmark,
                &hook.name,
                &hook.basic_user,
                &hook.basic_password,
                &hook.previous_basic_password,
            )
        };
        let (m, s, p, a) = (
            Vendor::Mailgun,
            Vendor::Sendgrid,
            Vendor::Postmark,
            Vendor::Ses,
        );
        Ok(CheckedHooks {
            mailgun: check(
                m,
                &self.mailgun,
                has_account,
                |it| (&it.name, &it.account, &it.authserv_id),
                mailgun,
            )?,
            sendgrid: check(
                s,
                &self.sendgrid,
                has_account,
                |it| (&it.name, &it.account, &it.authserv_id),
                sendgrid,
            )?,
            postmark: check(
                p,
                &self.postmark,
                has_account,
                |it| (&it.name, &it.account, &it.authserv_id),
                postmark,
            )?,
            ses: check(
                a,
                &self.ses,
                has_account,
                |it| (&it.name, &it.account, &it.authserv_id),
                ses,
            )?,
        })
    }
}

/// Checks what all webhooks have, and the proof of each.
fn check<H, T>(
    vendor: Vendor,
    hooks: &[H],
    has_account: &dyn Fn(&str) -> bool,
    words: impl Fn(&H) -> (&String, &String, &String),
    proof: impl Fn(&H) -> Result<T, HookError>,
) -> Result<Vec<Checked<T>>, HookError> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let mut names = HashSet::new();
    let one = |hook: &H| {
        let (name, account, authserv_id) = words(hook);
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(legal) {
            return Err(wrong(
                vendor,
                name,
                "the name must be 1 to 64 characters of a-z, 0-9, '-' and '_'",
            ));
        }
        if !names.insert(name.clone()) {
            return Err(wrong(vendor, name, "the name is used twice"));
        }
        if !account.is_empty() && !has_account(account) {
            return Err(wrong(vendor, name, "there is no such account"));
        }
        Ok(Checked {
            name: name.clone(),
            account: account.clone(),
            authserv_id: authserv_id.clone(),
            proof: proof(hook)?,
        })
    };
    hooks.iter().map(one).collect()
}

fn sendgrid(hook: &SendgridHook) -> Result<Sendgrid, HookError> {
    let vendor = Vendor::Sendgrid;
    let token = hook.path_token.expose();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !token.is_empty() && (token.len() < PATH_TOKEN_MIN || !token.chars().all(legal)) {
        return Err(wrong(
            vendor,
            &hook.name,
            "'path_token' must be at least 20 of A-Z, a-z, 0-9, '-' and '_'",
        ));
    }
    let has_basic = !hook.basic_user.is_empty() || !hook.basic_password.is_empty();
    if token.is_empty() && !has_basic {
        let source = SecretError::None;
        return Err(secret_error(vendor, &hook.name, source));
    }
    let basic = has_basic.then(|| {
        basic(
            vendor,
            &hook.name,
            &hook.basic_user,
            &hook.basic_password,
            &hook.previous_basic_password,
        )
    });
    let path_token = (!token.is_empty()).then(|| {
        WebhookSecrets::new([token]).map_err(|source| secret_error(vendor, &hook.name, source))
    });
    let key = |key: &'static str, text: &str| {
        let parsed = (!text.is_empty()).then(|| SendgridKey::parse(text));
        parsed.transpose().map_err(|source| HookError::Key {
            name: hook.name.clone(),
            key,
            source,
        })
    };
    Ok(Sendgrid {
        basic: basic.transpose()?,
        path_token: path_token.transpose()?,
        event_key: key("event_public_key", &hook.event_public_key)?,
        parse_key: key("parse_public_key", &hook.parse_public_key)?,
    })
}

fn ses(hook: &SesHook) -> Result<Ses, HookError> {
    if hook.topic_arns.is_empty() {
        return Err(secret_error(Vendor::Ses, &hook.name, SecretError::None));
    }
    if hook
        .topic_arns
        .iter()
        .any(|arn| !arn.starts_with("arn:aws"))
    {
        return Err(wrong(
            Vendor::Ses,
            &hook.name,
            "'topic_arns' has an entry that is no ARN",
        ));
    }
    if let Some(what) = hook.bucket.as_ref().and_then(problem_of) {
        return Err(wrong(Vendor::Ses, &hook.name, what));
    }
    Ok(Ses {
        topics: hook.topic_arns.iter().cloned().collect(),
        bucket: hook.bucket.clone(),
    })
}

/// What is wrong with a bucket.
fn problem_of(bucket: &BucketConfig) -> Option<&'static str> {
    let legal =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
    let is_name = |text: &str| !text.is_empty() && text.chars().all(legal);
    if !is_name(&bucket.name) {
        return Some("'bucket.name' is no name of a bucket");
    }
    if !is_name(&bucket.region) {
        return Some("'bucket.region' is missing or no region");
    }
    if bucket.access_key_id.is_empty() != bucket.secret_access_key.is_empty() {
        return Some("'bucket.access_key_id' and 'bucket.secret_access_key' belong together");
    }
    let scheme = ["https://", "http://"]
        .iter()
        .any(|scheme| bucket.endpoint.starts_with(scheme));
    if !bucket.endpoint.is_empty() && !scheme {
        return Some("'bucket.endpoint' must be an http or https address");
    }
    if bucket.max_object_bytes == 0 {
        return Some("'bucket.max_object_bytes' must be more than zero");
    }
    None
}

fn basic(
    vendor: Vendor,
    name: &str,
    user: &str,
    present: &Secret,
    previous: &Secret,
) -> Result<Basic, HookError> {
    if user.is_empty() || user.contains(':') {
        return Err(wrong(
            vendor,
            name,
            "'basic_user' must be set and have no colon",
        ));
    }
    Ok(Basic {
        user: user.to_owned(),
        passwords: secrets(vendor, name, present, previous)?,
    })
}

/// The secrets of a webhook: the present one must be set.
fn secrets(
    vendor: Vendor,
    name: &str,
    present: &Secret,
    previous: &Secret,
) -> Result<WebhookSecrets, HookError> {
    if present.is_empty() {
        return Err(secret_error(vendor, name, SecretError::None));
    }
    let all = [present, previous].into_iter().map(Secret::expose);
    WebhookSecrets::new(all.filter(|secret| !secret.is_empty()))
        .map_err(|source| secret_error(vendor, name, source))
}

fn secret_error(vendor: Vendor, name: &str, source: SecretError) -> HookError {
    HookError::Secret {
        vendor: vendor.label(),
        name: name.to_owned(),
        source,
    }
}

fn wrong(vendor: Vendor, name: &str, what: &'static str) -> HookError {
    HookError::Hook {
        vendor: vendor.label(),
        name: name.to_owned(),
        what,
    }
}
