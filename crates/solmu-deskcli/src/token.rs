//! `solmu token`.

use clap::{Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use solmu_cli::parts::{Roster, Session, table, words};
use solmu_client::Client;
use solmu_domain::clock::Clock;
use solmu_proto::access::v1::{
    CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Role, Token,
};

/// Bearer tokens. Role admin only.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; its secret is shown once
    Create {
        /// What it is for
        name: String,
        /// What it may do
        #[arg(long, default_value = "service")]
        role: RoleArg,
        /// The agent that it speaks for, by name or id; needed for role agent
        #[arg(long, value_name = "AGENT", required_if_eq("role", "agent"))]
        agent: Option<String>,
        /// It stops working by itself after so many days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
        days: Option<u16>,
        /// It may do only this of what its role may, e.g. `tickets.read`; may be given more than once
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// For role agent: it sees the tickets of every team, where agents are bound to their teams
        #[arg(long)]
        all_teams: bool,
    },
    /// All tokens, without their secrets
    List,
    /// A token stops working at once
    Revoke {
        /// Its id
        id: String,
    },
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Everything
    Admin,
    /// What an agent does
    Agent,
    /// What another service does
    Service,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Admin => Self::Admin,
            RoleArg::Agent => Self::Agent,
            RoleArg::Service => Self::Service,
        }
    }
}

/// What `--json` prints of a token; `secret` only right after it was made.
#[derive(Debug, Serialize)]
struct TokenView {
    id: String,
    display_name: String,
    role: String,
    agent_id: String,
    create_time: Option<Timestamp>,
    revoke_time: Option<Timestamp>,
    expire_time: Option<Timestamp>,
    scopes: Vec<String>,
    all_teams: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<&Token> for TokenView {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.clone(),
            display_name: token.display_name.clone(),
            role: words::role(token.role),
            agent_id: token.agent_id.clone(),
            create_time: words::time(token.create_time.as_ref()),
            revoke_time: words::time(token.revoke_time.as_ref()),
            expire_time: words::time(token.expire_time.as_ref()),
            scopes: token.scopes.clone(),
            all_teams: token.all_teams,
            secret: None,
        }
    }
}

/// So many days from now.
fn end(clock: &dyn Clock, days: u16) -> anyhow::Result<prost_types::Timestamp> {
    let lasting = SignedDuration::from_hours(24 * i64::from(days));
    let end = clock.now().checked_add(lasting)?;
    Ok(prost_types::Timestamp {
        seconds: end.as_second(),
        nanos: 0,
    })
}

async fn list(session: &Session, client: &Client, clock: &dyn Clock) -> anyhow::Result<()> {
    let answer = client
        .access()
        .list_tokens(ListTokensRequest {})
        .await
        .map_err(|status| session.explain(status))?;
    let tokens = answer.into_inner().tokens;
    let now = clock.now();
    let when = |at: Option<&prost_types::Timestamp>| {
        words::time(at).map_or_else(|| "-".to_owned(), |at| words::relative(now, at))
    };
    let mut rows = table(&[
        "Token", "Role", "Scopes", "Made", "Expires", "Revoked", "Id",
    ]);
    for token in &tokens {
        rows.add_row([
            words::short(&token.display_name, 40),
            words::role(token.role),
            words::short(&token.scopes.join(" "), 40),
            when(token.create_time.as_ref()),
            when(token.expire_time.as_ref()),
            when(token.revoke_time.as_ref()),
            token.id.clone(),
        ]);
    }
    let views: Vec<TokenView> = tokens.iter().map(TokenView::from).collect();
    session.out.rows(&views, &rows, "There is no token.")
}

pub(crate) async fn run(
    session: &Session,
    command: TokenCommand,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let mut access = client.access();
    match command {
        TokenCommand::Create {
            name,
            role,
            agent,
            days,
            scopes,
            all_teams,
        } => {
            let agent_id = match agent {
                Some(agent) => Roster::fetch(session, &client)
                    .await?
                    .agent(&agent)?
                    .id
                    .clone(),
                None => String::new(),
            };
            let token = Token {
                display_name: name,
                role: Role::from(role).into(),
                agent_id,
                expire_time: days.map(|days| end(clock, days)).transpose()?,
                scopes,
                all_teams,
                ..Token::default()
            };
            let request = CreateTokenRequest {
                token: Some(token),
                ..CreateTokenRequest::default()
            };
            let made = access
                .create_token(request)
                .await
                .map_err(|status| session.explain(status))?
                .into_inner();
            let mut view = TokenView::from(&made.token.unwrap_or_default());
            view.secret = Some(made.secret.clone());
            session.out.object(&view)?;
            session.out.line(&made.secret)?;
            session
                .out
                .progress("This is the only time that the secret is shown.");
            Ok(())
        }
        TokenCommand::List => list(session, &client, clock).await,
        TokenCommand::Revoke { id } => {
            let request = RevokeTokenRequest { id: id.clone() };
            access
                .revoke_token(request)
                .await
                .map_err(|status| session.explain(status))?;
            session.out.either(
                &serde_json::json!({"id": id, "revoked": true}),
                "The token no longer works.",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_shows_its_secret_only_when_it_has_one() {
        let mut view = TokenView::from(&Token {
            role: 2,
            ..Token::default()
        });
        assert!(!serde_json::to_string(&view).unwrap().contains("secret"));
        view.secret = Some("s".to_owned());
        assert!(
            serde_json::to_string(&view)
                .unwrap()
                .contains("\"secret\":\"s\"")
        );
    }
}
