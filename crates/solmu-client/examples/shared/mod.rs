//! How a service comes to its client: where the server is, which token, and whose certificate.

use std::error::Error;

use solmu_client::Client;

/// Whatever ends an example.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

#[expect(
    clippy::disallowed_methods,
    reason = "an example has no configuration but its environment"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.is_empty())
}

/// A client as the environment says:
///
/// - `SOLMU_ENDPOINT`: `http://host:port` or, behind a proxy that speaks TLS, `https://host:port`;
/// - `SOLMU_TOKEN`, or `SOLMU_TOKEN_FILE`, where a cluster mounts its secret: a file does not show in a list of processes;
/// - `SOLMU_CA`: a file with the certificates (PEM) of the authority that signed the server's.
///
/// Nothing is connected before the first call, so this fails only for what cannot work at all.
pub(crate) fn client() -> Outcome<Client> {
    let endpoint = setting("SOLMU_ENDPOINT").unwrap_or_else(|| "http://127.0.0.1:7310".to_owned());
    let token = match (setting("SOLMU_TOKEN"), setting("SOLMU_TOKEN_FILE")) {
        (Some(token), _) => token,
        (None, Some(file)) => std::fs::read_to_string(file)?,
        (None, None) => {
            return Err("set SOLMU_TOKEN or SOLMU_TOKEN_FILE: solmu token create".into());
        }
    };
    let client = match setting("SOLMU_CA") {
        Some(file) => Client::connect_tls(&endpoint, &token, &std::fs::read(file)?)?,
        None => Client::connect(&endpoint, &token)?,
    };
    Ok(client)
}
