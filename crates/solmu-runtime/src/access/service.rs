//! `solmu.access.v1.AccessService`: tokens, for admins.

use jiff::Timestamp;
use solmu_domain::ids::AgentId;
use solmu_proto::access::v1::{
    self as proto, CreateTokenRequest, CreateTokenResponse, ListTokensRequest, ListTokensResponse,
    RevokeTokenRequest, RevokeTokenResponse,
    access_service_server::{AccessService, AccessServiceServer},
};
use tonic::{Request, Response, Status, service::Routes};

use super::{
    Access, NewToken, Role, Scope, Scopes, caller,
    store::{self, Token},
};
use crate::{
    api_error::{ApiError, Violation},
    calls,
};

/// Characters of a display name at most.
const NAME_MAX: usize = 100;

impl Access {
    /// The gRPC service that manages tokens.
    #[must_use]
    pub fn routes(&self) -> Routes {
        Routes::new(AccessServiceServer::new(self.clone()))
    }
}

#[tonic::async_trait]
impl AccessService for Access {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let maker = caller(&request)?;
        maker.require(&[Role::Admin])?;
        let most = maker.expire_time;
        let now = self.clock.now();
        let made = store::MadeBy {
            maker: maker.token_id.clone(),
            request_id: calls::request_id(&request.get_ref().request_id)?,
        };
        let wanted = Wanted::parse(request.into_inner(), now)?.within(most)?;
        let new = NewToken::generate(wanted.role, wanted.agent_id, self.rng.as_ref()).with_terms(
            wanted.expire_time,
            wanted.scopes,
            wanted.all_teams,
        );
        let known = self
            .db
            .tx("access.create_token", |tx| {
                let (new, name, made) = (new.clone(), wanted.display_name.clone(), made.clone());
                Box::pin(async move {
                    store::token_insert(tx, &new, (&name, &made), now)
                        .await
                        .map_err(ApiError::from)
                })
            })
            .await?;
        if let Some(id) = known {
            let resource = "token";
            return Err(ApiError::ToldOnce { resource, id }.into());
        }
        tracing::info!(
            token_id = new.caller.token_id,
            role = new.caller.role.as_str(),
            "token created"
        );
        let token = Token {
            caller: new.caller,
            display_name: wanted.display_name,
            create_time: now,
            revoke_time: None,
            expire_time: new.expire_time,
        };
        let secret = new.token.expose().to_owned();
        Ok(Response::new(CreateTokenResponse {
            token: Some(to_proto(token)),
            secret,
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        caller(&request)?.require(&[Role::Admin])?;
        let tokens = store::token_list(self.db.pool())
            .await
            .map_err(ApiError::from)?;
        let tokens = tokens.into_iter().map(to_proto).collect();
        Ok(Response::new(ListTokensResponse { tokens }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        caller(&request)?.require(&[Role::Admin])?;
        let id = request.into_inner().id;
        let now = self.clock.now();
        self.db
            .tx("access.revoke_token", |tx| {
                let id = id.clone();
                Box::pin(async move { store::token_revoke(tx, &id, now).await })
            })
            .await?;
        // Here at once; elsewhere by the notification that committed with it.
        self.forget(Some(&id));
        tracing::info!(token_id = id, "token revoked");
        Ok(Response::new(RevokeTokenResponse {}))
    }
}

/// A valid request for a token.
struct Wanted {
    display_name: String,
    role: Role,
    agent_id: Option<AgentId>,
    expire_time: Option<Timestamp>,
    scopes: Scopes,
    all_teams: bool,
}

impl Wanted {
    fn parse(request: CreateTokenRequest, now: Timestamp) -> Result<Self, ApiError> {
        let token = request
            .token
            .ok_or_else(|| ApiError::invalid("token", "is missing"))?;
        let mut violations = Vec::new();
        let mut refuse = |field: &str, description: String| {
            violations.push(Violation::new(field, description));
        };
        let display_name = token.display_name.trim().to_owned();
        if display_name.is_empty() || display_name.chars().count() > NAME_MAX {
            refuse(
                "token.display_name",
                format!("must have 1 to {NAME_MAX} characters"),
            );
        }
        let role = Role::from_proto(token.role);
        if role.is_none() {
            refuse("token.role", "must be admin, agent or service".to_owned());
        }
        let mut agent_id = None;
        match (role, token.agent_id.as_str()) {
            (Some(Role::Agent), text) => match text.parse::<AgentId>() {
                Ok(id) => agent_id = Some(id),
                Err(error) => refuse("token.agent_id", error.to_string()),
            },
            (_, "") => {}
            (_, _) => refuse("token.agent_id", "is for role agent only".to_owned()),
        }
        if token.all_teams && role != Some(Role::Agent) {
            refuse("token.all_teams", "is for role agent only".to_owned());
        }
        if !token.scopes.is_empty() && role == Some(Role::Admin) {
            refuse("token.scopes", "an admin's token has none".to_owned());
        }
        for scope in &token.scopes {
            if let Err(error) = scope.parse::<Scope>() {
                refuse("token.scopes", error.to_string());
            }
        }
        let expire_time = token
            .expire_time
            .map(|at| Timestamp::new(at.seconds, at.nanos).ok());
        if expire_time.is_some_and(|at| at.is_none_or(|at| at <= now)) {
            refuse("token.expire_time", "must lie in the future".to_owned());
        }
        match role {
            Some(role) if violations.is_empty() => Ok(Self {
                display_name,
                role,
                agent_id,
                expire_time: expire_time.flatten(),
                scopes: Scopes::of_names(&token.scopes),
                all_teams: token.all_teams,
            }),
            _ => Err(ApiError::InvalidArgument { violations }),
        }
    }

    /// The same for a maker whose own token ends at `most`. What they make ends then at the latest: otherwise a sign-in
    /// of an hour, or a token that was lent for a day, would make itself one for ever.
    fn within(mut self, most: Option<Timestamp>) -> Result<Self, ApiError> {
        let Some(most) = most else {
            return Ok(self);
        };
        if self.expire_time.is_some_and(|at| at > most) {
            let what = format!("must not be later than your own token ends: {most}");
            return Err(ApiError::invalid("token.expire_time", what));
        }
        self.expire_time.get_or_insert(most);
        Ok(self)
    }
}

fn to_proto(token: Token) -> proto::Token {
    proto::Token {
        id: token.caller.token_id,
        display_name: token.display_name,
        role: token.caller.role.to_proto().into(),
        agent_id: token
            .caller
            .agent_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        create_time: Some(time(token.create_time)),
        revoke_time: token.revoke_time.map(time),
        expire_time: token.expire_time.map(time),
        scopes: token.caller.scopes.names(),
        all_teams: token.caller.all_teams,
    }
}

fn time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}
