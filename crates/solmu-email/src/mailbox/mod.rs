//! Mailboxes that are read over IMAP: each by one process at a time, into the same receiver as SMTP.
//!
//! The protocol and its failures are dealt with in `solmu-imap`; here are the configuration, the memory (schema
//! `email`) and the lease. A mail is marked or moved in its mailbox only after the bus has it on disk, and the position
//! is kept between the two. So a crash repeats mails at most, and a repeated mail has no second effect: its message id
//! is made from account and Message-ID (or its bytes), which is the same each time. For the same reason a folder whose
//! UIDVALIDITY changed is simply handed over again.

mod config;
pub mod metrics;
mod notice;
mod sink;
mod store;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use secrecy::{ExposeSecret as _, SecretString};
use solmu_connector::{OauthConfig, TokenSource};
use solmu_db::lease::{self, Held, LeaseGroup};
use solmu_imap::{AfterImport as After, Login, Settings, Tls as ImapTls, TokenError, Tokens};
use solmu_runtime::{Runtime, config::Secret, health::CheckHandle};
use tokio::sync::watch;

pub(crate) use config::problems;
pub use config::{AfterImport, MailboxConfig, MailboxProblem, Start};

use crate::{
    accounts::{Account, Accounts},
    config::{Config, Tls},
    receive::{Accept, Receiver},
};
use metrics::{MailboxMetrics, Standing};
use sink::MailboxSink;
use store::FolderKey;

/// How long a process that died keeps its mailboxes from others. Long, because each renewal is a transaction and mail
/// that comes half a minute later is no harm; a process that ends properly gives them back at once.
const LEASE_TTL: Duration = Duration::from_secs(20);

/// Reads all configured mailboxes until the runtime drains. `tokens` makes the source of access tokens of one.
pub(crate) fn start<A: Accept>(
    runtime: &Runtime,
    config: &Config,
    receiver: &Receiver<A>,
    tokens: &dyn Fn(&OauthConfig) -> Arc<TokenSource>,
) {
    if config.mailboxes.is_empty() {
        return;
    }
    let metrics = MailboxMetrics::new(&runtime.metrics);
    for mailbox in &config.mailboxes {
        let Some(account) = account_of(mailbox, receiver.accounts()) else {
            // Checked with the configuration.
            continue;
        };
        let mut group = LeaseGroup::new(
            format!("email.mailbox.{}", mailbox.name),
            1,
            runtime.instance.as_str(),
        );
        group.ttl = LEASE_TTL;
        let lease = group.name.clone();
        let stop = runtime.shutdown.stop.clone();
        let reader = Reader {
            runtime: runtime.clone(),
            held: lease::keep(&runtime.db, group, &runtime.background, stop),
            lease,
            settings: settings(mailbox, tokens),
            place: mailbox.place(),
            account: Arc::clone(account),
            receiver: receiver.for_provider(&mailbox.authserv_id),
            limits: config.parse.clone(),
            metrics: metrics.clone(),
            health: runtime
                .readiness
                .inform(format!("mailbox {}", mailbox.name)),
        };
        runtime.spawn("email-mailbox", reader.run());
    }
}

fn account_of<'a>(mailbox: &MailboxConfig, accounts: &'a Accounts) -> Option<&'a Arc<Account>> {
    if mailbox.account.is_empty() {
        accounts.default_account()
    } else {
        accounts.named(&mailbox.account)
    }
}

fn settings(
    mailbox: &MailboxConfig,
    tokens: &dyn Fn(&OauthConfig) -> Arc<TokenSource>,
) -> Settings {
    let login = match &mailbox.oauth {
        Some(oauth) => Login::Token(Arc::new(OauthTokens(tokens(oauth)))),
        None => Login::Password(SecretString::from(mailbox.password.expose())),
    };
    Settings {
        name: mailbox.name.clone(),
        host: mailbox.host.clone(),
        port: mailbox.port,
        tls: match mailbox.tls {
            Tls::None => ImapTls::None,
            Tls::StartTls => ImapTls::StartTls,
            Tls::Implicit => ImapTls::Implicit,
        },
        ca_file: mailbox.ca_file.clone(),
        username: mailbox.username.clone(),
        login,
        folder: mailbox.folder.clone(),
        after: match mailbox.after_import {
            AfterImport::Mark => After::Mark,
            AfterImport::Move => After::Move(mailbox.move_to.clone()),
            AfterImport::Nothing => After::Nothing,
        },
        from: mailbox.start(),
        limits: mailbox.limits(),
        times: mailbox.times(),
    }
}

/// Access tokens of a connector's source.
#[derive(Debug)]
struct OauthTokens(Arc<TokenSource>);

impl Tokens for OauthTokens {
    fn token(&self) -> BoxFuture<'_, Result<SecretString, TokenError>> {
        async {
            let token = self.0.access_token().await;
            let token = token.map_err(|error| TokenError {
                needs_person: error.needs_person(),
                why: error.to_string(),
            })?;
            Ok(SecretString::from(token.expose()))
        }
        .boxed()
    }

    fn refused<'a>(&'a self, token: &'a SecretString) -> BoxFuture<'a, ()> {
        async { self.0.forget(&Secret::new(token.expose_secret())).await }.boxed()
    }
}

/// One mailbox, while this process has it and while another has.
struct Reader<A> {
    runtime: Runtime,
    held: watch::Receiver<Held>,
    lease: String,
    settings: Settings,
    place: String,
    account: Arc<Account>,
    receiver: Receiver<A>,
    limits: solmu_mime::parse::ParseLimits,
    metrics: MailboxMetrics,
    health: CheckHandle,
}

impl<A: Accept> Reader<A> {
    async fn run(mut self) {
        let drain = self.runtime.shutdown.drain.clone();
        while !drain.is_cancelled() {
            let held = self.held.borrow_and_update().clone();
            if held.is_empty() {
                self.health.not_ready("another process reads it");
                tokio::select! {
                    () = drain.cancelled() => return,
                    changed = self.held.changed() => if changed.is_err() { return },
                }
                continue;
            }
            let stop = drain.child_token();
            let sink = self.sink(held.clone());
            let rng = Arc::clone(&self.runtime.rng);
            let reading = solmu_imap::run(&self.settings, &sink, rng.as_ref(), &stop);
            let mut watching = self.held.clone();
            let lost = async {
                // Any other epoch is another holding: what this one knows may be old.
                let _ = watching.wait_for(|now| *now != held).await;
                stop.cancel();
                std::future::pending::<()>().await;
            };
            self.metrics.mailboxes.add(["read"], 1.0);
            tokio::select! {
                () = Box::pin(reading) => {}
                () = lost => {}
            }
            self.metrics.mailboxes.add(["read"], -1.0);
        }
    }

    fn sink(&self, held: Held) -> MailboxSink<A> {
        MailboxSink {
            receiver: self.receiver.clone(),
            db: self.runtime.db.clone(),
            key: FolderKey {
                account: self.account.name.clone(),
                mailbox: self.settings.name.clone(),
                place: self.place.clone(),
                lease: self.lease.clone(),
                held,
            },
            folder: self.settings.folder.clone(),
            account: Arc::clone(&self.account),
            limits: self.limits.clone(),
            clock: Arc::clone(&self.runtime.clock),
            metrics: self.metrics.clone(),
            standing: Standing::new(&self.metrics),
            health: self.health.clone(),
        }
    }
}
