//! `solmu token`.

use clap::{Subcommand, ValueEnum};
use solmu_domain::clock::Clock;
use solmu_proto::access::v1::{
    CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Role, Token,
};

use crate::{connect::Session, output::table, roster::Roster, views::TokenView, words};

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

pub(crate) async fn run(
    session: &Session,
    command: TokenCommand,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let mut access = client.access();
    match command {
        TokenCommand::Create { name, role, agent } => {
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
                ..Token::default()
            };
            let request = CreateTokenRequest { token: Some(token) };
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
        TokenCommand::List => {
            let answer = access
                .list_tokens(ListTokensRequest {})
                .await
                .map_err(|status| session.explain(status))?;
            let tokens = answer.into_inner().tokens;
            let now = clock.now();
            let when = |at: Option<&prost_types::Timestamp>| {
                words::time(at).map_or_else(|| "-".to_owned(), |at| words::relative(now, at))
            };
            let mut rows = table(&["Token", "Role", "Made", "Revoked", "Id"]);
            for token in &tokens {
                rows.add_row([
                    words::short(&token.display_name, 40),
                    words::role(token.role),
                    when(token.create_time.as_ref()),
                    when(token.revoke_time.as_ref()),
                    token.id.clone(),
                ]);
            }
            let views: Vec<TokenView> = tokens.iter().map(TokenView::from).collect();
            session.out.rows(&views, &rows, "There is no token.")
        }
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
