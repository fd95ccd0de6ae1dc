//! Web forms: a form is a JSON Schema with a thin layer of words, served as accessible HTML and taken as a page's post
//! or as JSON.
//!
//! The same rules judge both. A page works without scripts and keeps what was typed, whatever goes wrong; the customer
//! is thanked only when the bus has the message on disk. No state is stored: the token in the page is signed, and the
//! ids of a message come from it, so that any replica may take any post and a repeated one is the same message.
//!
//! Uploads (`multipart/form-data`) are refused with 415.

mod answer;
pub mod builtin;
pub mod config;
mod definition;
mod message;
mod metrics;
mod page;
mod routes;
mod service;
mod submission;
#[cfg(test)]
mod tests;
mod token;
mod validate;
mod words;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

pub use config::Config;
use futures::FutureExt as _;
pub use solmu_connector::address::BadNetwork;
use solmu_connector::{Intake, IntakeError};
use solmu_domain::{clock::SharedClock, rng::SharedRng, signed::Signer};
use solmu_runtime::{Parts, Runtime};
pub use validate::FieldError;

use solmu_connector::{address::Proxies, limit::Limiter};

use crate::{
    config::Rate,
    definition::Form,
    metrics::FormMetrics,
    page::Pages,
    service::{Accept, NotTaken, Service},
};

/// Why the forms cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of `files` cannot be read.
    #[error("cannot read the form file '{}'", path.display())]
    ReadFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of `files` is no form.
    #[error("the file '{}' is no form", path.display())]
    ParseFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A form that cannot work.
    #[error("form '{form}': {problem}")]
    BadForm {
        /// Its id.
        form: String,
        /// What is wrong.
        problem: String,
    },
    /// Two forms have one id.
    #[error("there are two forms '{0}'")]
    Twice(String),
    /// The body limit is too high for the original to travel in its event.
    #[error("body_limit_bytes is {0}: it must be between 1,000 and {MAX_BODY_LIMIT}")]
    BadBodyLimit(usize),
    /// A trusted proxy is no network.
    #[error("trusted_proxies is wrong")]
    BadProxy(#[from] BadNetwork),
}

/// Highest `body_limit_bytes`: the original travels inside the event, besides the fields made of it.
pub const MAX_BODY_LIMIT: usize = 200_000;

/// Says what cannot work in the configuration, before anything is started.
pub fn check(config: &Config) -> Result<(), Error> {
    compile(config)?;
    Proxies::parse(&config.trusted_proxies)?;
    Ok(())
}

/// Starts the role: its routes under `/forms`.
///
/// The server must give requests their `ConnectInfo<SocketAddr>`; without it, all visitors share one address limit.
pub fn start(runtime: &Runtime, intake: &Intake, config: &Config) -> Result<Parts, Error> {
    let intake = intake.clone();
    let accept: Accept = Arc::new(move |message| {
        let intake = intake.clone();
        let accepting = async move {
            intake.accept(message).await.map_err(|error| match error {
                IntakeError::Unavailable => NotTaken::Unavailable,
                IntakeError::TooLarge => NotTaken::TooLarge,
            })
        };
        accepting.boxed()
    });
    let ambient = Ambient {
        signer: runtime.secrets.signer().clone(),
        clock: runtime.clock.clone(),
        rng: runtime.rng.clone(),
        metrics: FormMetrics::new(&runtime.metrics),
        accept,
    };
    let router = routes::routes(Arc::new(service(config, ambient)?));
    Ok(Parts {
        http: Some(router),
        ..Parts::default()
    })
}

/// What the forms need from the process.
struct Ambient {
    signer: Signer,
    clock: SharedClock,
    rng: SharedRng,
    metrics: FormMetrics,
    accept: Accept,
}

/// The forms by their ids.
fn compile(config: &Config) -> Result<BTreeMap<String, Form>, Error> {
    if !(1_000..=MAX_BODY_LIMIT).contains(&config.body_limit_bytes) {
        return Err(Error::BadBodyLimit(config.body_limit_bytes));
    }
    let mut forms = BTreeMap::new();
    for definition in config.definitions()? {
        let form = Form::compile(definition)?;
        if let Some(earlier) = forms.insert(form.id().to_owned(), form) {
            return Err(Error::Twice(earlier.id().to_owned()));
        }
    }
    Ok(forms)
}

/// Checks the configuration and makes everything ready.
fn service(config: &Config, ambient: Ambient) -> Result<Service, Error> {
    let limits = &config.rate_limits;
    let time = |rate: Rate| Duration::from_secs(rate.seconds.into());
    Ok(Service {
        forms: compile(config)?,
        pages: Pages::new(),
        signer: ambient.signer,
        proxies: Proxies::parse(&config.trusted_proxies)?,
        per_address: Limiter::new(
            limits.per_address.posts,
            time(limits.per_address),
            ambient.clock.clone(),
        ),
        per_email: Limiter::new(
            limits.per_email.posts,
            time(limits.per_email),
            ambient.clock.clone(),
        ),
        clock: ambient.clock,
        rng: ambient.rng,
        body_limit: config.body_limit_bytes,
        accept: ambient.accept,
        metrics: ambient.metrics,
    })
}
