//! What a fresh data directory gets: a configuration to edit, somebody to own the tickets, and tokens.

use std::{os::unix::fs::DirBuilderExt as _, path::Path};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use solmu_domain::rng::{Rng, SystemRng};
use solmu_runtime::{Runtime, access};

use crate::{config::FILE, engines::write_private};

/// File with the first admin token.
pub(crate) const TOKEN: &str = "token";
/// File with the first agent's token.
pub(crate) const AGENT_TOKEN: &str = "agent-token";
/// File with the token by which roles of this process ask each other.
const SERVICE_TOKEN: &str = "service-token";

/// Tokens that were made just now, to be shown once.
#[derive(Debug, Default)]
pub(crate) struct FirstTokens {
    pub(crate) admin: Option<String>,
    pub(crate) agent: Option<String>,
}

/// Writes the configuration of a private installation, unless there is one. Its secrets are drawn here, so that no two
/// installations share one.
pub(crate) fn write_config(data: &Path) -> anyhow::Result<bool> {
    let path = data.join(FILE);
    if path.exists() {
        return Ok(false);
    }
    // Others may pass through to what is theirs (the engines' user), and list nothing.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(data)
        .with_context(|| format!("cannot make the data directory '{}'", data.display()))?;
    let secret = || {
        let mut bytes = [0; 24];
        SystemRng.fill(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let text = format!(
        r#"# Configuration of this Solmu. Every key with its default: docs/configuration.md, or `solmu config docs`.
# Made at the first start; Solmu never changes it again.

[nats]
# One process on one machine: more partitions would only cost disk syncs.
partitions = 1

[email]
listen = "127.0.0.1:2525"

[[email.accounts]]
name = "main"
addresses = ["support@desk.example"]
display_name = "Support"
default = true

# Answers go out through this relay. `solmu demo` listens here; put your own mail server in its place.
[email.relay]
host = "127.0.0.1"
port = 2526
tls = "none"

# Accounts of the demo, with secrets of their own; `solmu demo` plays the vendors on 127.0.0.1:7391.
[social.whatsapp]
base_url = "http://127.0.0.1:7391"

[[social.whatsapp.accounts]]
name = "demo"
phone_number_id = "100000000000001"
app_secret = "{}"
verify_token = "{}"
access_token = "{}"

[social.telegram]
base_url = "http://127.0.0.1:7391"

[[social.telegram.accounts]]
name = "demo"
secret_token = "{}"
bot_token = "7310:{}"
"#,
        secret(),
        secret(),
        secret(),
        secret(),
        secret(),
    );
    write_private(&path, &text)?;
    Ok(true)
}

/// Makes the default team and agent, the SLA defaults and the first tokens, where there are none.
pub(crate) async fn bootstrap(runtime: &Runtime, data: &Path) -> anyhow::Result<FirstTokens> {
    let (clock, rng) = (runtime.clock.as_ref(), runtime.rng.as_ref());
    solmu_sla::bootstrap(&runtime.db, clock, rng).await?;
    let agent = solmu_router::bootstrap(runtime, solmu_router::FirstAgent::default()).await?;
    let Some(admin) = access::bootstrap(&runtime.db, clock, rng).await? else {
        return Ok(FirstTokens::default());
    };
    let admin = admin.token.expose().to_owned();
    write_private(&data.join(TOKEN), &admin)?;
    let agent = access::issue(
        &runtime.db,
        clock,
        rng,
        access::Role::Agent,
        Some(agent),
        "first agent",
    )
    .await?;
    let agent = agent.token.expose().to_owned();
    write_private(&data.join(AGENT_TOKEN), &agent)?;
    Ok(FirstTokens {
        admin: Some(admin),
        agent: Some(agent),
    })
}

/// Another admin token, for who has lost the first: who reaches the database may do so. Its name in `solmu token list` tells
/// where it came from.
pub(crate) async fn another_admin(runtime: &Runtime, data: &Path) -> anyhow::Result<String> {
    let token = access::issue(
        &runtime.db,
        runtime.clock.as_ref(),
        runtime.rng.as_ref(),
        access::Role::Admin,
        None,
        "admin by first-token --again",
    )
    .await?;
    let token = token.token.expose().to_owned();
    // The next command finds it there, as it found the first.
    write_private(&data.join(TOKEN), &token)?;
    Ok(token)
}

/// The token by which the router of this process asks its ticket service; made once, kept in a 0600 file.
pub(crate) async fn service_token(runtime: &Runtime, data: &Path) -> anyhow::Result<String> {
    let path = data.join(SERVICE_TOKEN);
    if let Ok(token) = std::fs::read_to_string(&path) {
        return Ok(token);
    }
    let (clock, rng) = (runtime.clock.as_ref(), runtime.rng.as_ref());
    let token = access::issue(
        &runtime.db,
        clock,
        rng,
        access::Role::Service,
        None,
        "router",
    )
    .await?;
    let token = token.token.expose().to_owned();
    write_private(&path, &token)?;
    Ok(token)
}
