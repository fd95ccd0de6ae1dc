//! How we prove to a relay who we are: by a password, or by an access token (XOAUTH2).
//!
//! Microsoft 365 takes no passwords over SMTP any more, Gmail only app passwords. Both take
//! `user=<address>^Aauth=Bearer <token>^A^A`. A server that refuses a token answers `334` with a JSON object first and
//! wants an empty line before it says `535`; lettre's own `auth` stops at the `334`, so the dialogue is led here.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use lettre::transport::smtp::{
    Error as SmtpError,
    authentication::{Credentials, Mechanism},
    client::AsyncSmtpConnection,
    commands::Auth,
};
use solmu_connector::TokenSource;
use solmu_runtime::config::Secret;

/// A boxed error of whoever fetches tokens.
pub type TokenError = Box<dyn std::error::Error + Send + Sync>;

/// A fetched token, or why there is none.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<Secret, TokenError>> + Send + 'a>>;

/// Where access tokens come from.
pub trait AccessTokens: fmt::Debug + Send + Sync + 'static {
    /// A token that is good now; fetched or renewed where needed.
    fn access_token(&self) -> TokenFuture<'_>;

    /// The server refused `token`: the next call must fetch another.
    fn refused<'a>(&'a self, token: &'a Secret) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

impl AccessTokens for TokenSource {
    fn access_token(&self) -> TokenFuture<'_> {
        Box::pin(async move { Self::access_token(self).await.map_err(Into::into) })
    }

    fn refused<'a>(&'a self, token: &'a Secret) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.forget(token))
    }
}

/// Why the relay does not know us.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthError {
    /// The relay said no, or broke.
    #[error("the relay refused the login")]
    Refused(#[source] SmtpError),
    /// No token could be had.
    #[error("no access token")]
    Token(#[source] TokenError),
}

impl AuthError {
    /// Stable code and a sentence for people.
    pub(super) fn cause(&self) -> (&'static str, &'static str) {
        match self {
            Self::Refused(_) => ("relay_auth", "the relay refused the login"),
            Self::Token(_) => (
                "relay_token",
                "no access token for the relay could be fetched",
            ),
        }
    }
}

/// A login at a relay.
#[derive(Debug, Clone)]
pub(super) enum Login {
    /// None wanted.
    None,
    /// A user and a password.
    Password(Credentials),
    /// A user and tokens.
    Tokens {
        user: String,
        tokens: Arc<dyn AccessTokens>,
    },
}

impl Login {
    pub(super) async fn perform(
        &self,
        connection: &mut AsyncSmtpConnection,
    ) -> Result<(), AuthError> {
        match self {
            Self::None => Ok(()),
            Self::Password(credentials) => connection
                .auth(&[Mechanism::Plain, Mechanism::Login], credentials)
                .await
                .map(drop)
                .map_err(AuthError::Refused),
            Self::Tokens { user, tokens } => with_tokens(connection, user, &**tokens).await,
        }
    }
}

/// A token may be withdrawn before its time: after a refusal one fresh token is tried, on the same connection.
async fn with_tokens(
    connection: &mut AsyncSmtpConnection,
    user: &str,
    tokens: &dyn AccessTokens,
) -> Result<(), AuthError> {
    let token = tokens.access_token().await.map_err(AuthError::Token)?;
    let Err(refusal) = xoauth2(connection, user, &token).await else {
        return Ok(());
    };
    if !refusal.is_permanent() {
        return Err(AuthError::Refused(refusal));
    }
    tokens.refused(&token).await;
    let fresh = tokens.access_token().await.map_err(AuthError::Token)?;
    if fresh == token {
        return Err(AuthError::Refused(refusal));
    }
    match xoauth2(connection, user, &fresh).await {
        Ok(()) => Ok(()),
        Err(refusal) => {
            tokens.refused(&fresh).await;
            Err(AuthError::Refused(refusal))
        }
    }
}

async fn xoauth2(
    connection: &mut AsyncSmtpConnection,
    user: &str,
    token: &Secret,
) -> Result<(), SmtpError> {
    let credentials = Credentials::new(user.to_owned(), token.expose().to_owned());
    let answer = connection
        .command(Auth::new(Mechanism::Xoauth2, credentials, None)?)
        .await?;
    if answer.has_code(334) {
        // What the server says in the 334 is for programs; the 535 that follows the empty line is the answer.
        connection.command("\r\n").await?;
    }
    Ok(())
}
