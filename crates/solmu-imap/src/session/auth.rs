//! Logging in.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Done, Session,
    names::{is_quotable, quoted},
};
use crate::{
    error::ImapError,
    settings::{Login, Settings, Tls},
    wire::response::{Code, Response, Status},
};

/// Codes of RFC 5530 and of large providers that speak of the server, not of the user.
const PASSING: [&str; 6] = [
    "UNAVAILABLE",
    "INUSE",
    "LIMIT",
    "SERVERBUG",
    "THROTTLED",
    "OVERQUOTA",
];

/// Server challenges before a dialogue is given up.
const CHALLENGES_MAX: usize = 4;

impl Session {
    pub(super) async fn log_in(&mut self, settings: &Settings) -> Result<(), ImapError> {
        if self.capabilities.is_empty() {
            self.ask_capabilities().await?;
        }
        match &settings.login {
            Login::Password(password) => self.by_password(settings, password).await?,
            Login::Token(tokens) => {
                let token = tokens.token().await?;
                let first = self.by_token(&settings.username, &token).await;
                if matches!(first, Err(ImapError::Login(_))) {
                    // It may have been taken back before its time: one more, and a new one.
                    tokens.refused(&token).await;
                    let newer = tokens.token().await?;
                    if newer.expose_secret() == token.expose_secret() {
                        return first;
                    }
                    self.by_token(&settings.username, &newer).await?;
                } else {
                    first?;
                }
            }
        }
        Ok(())
    }

    async fn by_password(
        &mut self,
        settings: &Settings,
        password: &SecretString,
    ) -> Result<(), ImapError> {
        if self.can("AUTH=PLAIN") {
            let response = format!("\0{}\0{}", settings.username, password.expose_secret());
            let response = SecretString::from(STANDARD.encode(response));
            return self.authenticate("PLAIN", &response).await;
        }
        if self.can("LOGINDISABLED") && settings.tls != Tls::None {
            return Err(ImapError::NoMechanism);
        }
        let done = self.login(&settings.username, password).await?;
        self.logged_in(done, String::new())
    }

    /// LOGIN with quoted strings, or with literals for what a quoted string may not carry.
    async fn login(&mut self, user: &str, password: &SecretString) -> Result<Done, ImapError> {
        let mut lines = Vec::new();
        let mut line = "LOGIN".to_owned();
        for argument in [user, password.expose_secret()] {
            if is_quotable(argument) {
                line = format!("{line} {}", quoted(argument));
            } else {
                lines.push(format!("{line} {{{}}}", argument.len()));
                argument.clone_into(&mut line);
            }
        }
        lines.push(line);
        let tag = self.send(&lines[0]).await?;
        for line in &lines[1..] {
            if let Some(done) = self.until_continue(&tag).await? {
                return Ok(done);
            }
            self.send_more(line).await?;
        }
        self.finish(&tag, |_| ()).await
    }

    /// Waits until the server asks for more; or the command's end, if it came instead.
    pub(super) async fn until_continue(&mut self, tag: &str) -> Result<Option<Done>, ImapError> {
        loop {
            match self.read().await? {
                Response::Continue(_) => return Ok(None),
                Response::Done {
                    tag: ended,
                    status,
                    code,
                } if ended == tag => return Ok(Some(Done { status, code })),
                _ => {}
            }
        }
    }

    /// XOAUTH2 of Google and Microsoft.
    async fn by_token(&mut self, user: &str, token: &SecretString) -> Result<(), ImapError> {
        if !self.can("AUTH=XOAUTH2") {
            return Err(ImapError::NoMechanism);
        }
        let response = format!(
            "user={user}\x01auth=Bearer {}\x01\x01",
            token.expose_secret()
        );
        let response = SecretString::from(STANDARD.encode(response));
        self.authenticate("XOAUTH2", &response).await
    }

    /// A mechanism with one answer of ours. A server that asks again after it has said no in its own words (XOAUTH2:
    /// JSON in base64) and waits for an empty line before it says so properly.
    async fn authenticate(
        &mut self,
        mechanism: &str,
        response: &SecretString,
    ) -> Result<(), ImapError> {
        // Sent at once where the server takes it so (RFC 4959).
        let mut is_sent = self.can("SASL-IR");
        let line = if is_sent {
            format!("AUTHENTICATE {mechanism} {}", response.expose_secret())
        } else {
            format!("AUTHENTICATE {mechanism}")
        };
        let tag = self.send(&line).await?;
        let mut told = String::new();
        for _ in 0..CHALLENGES_MAX {
            match self.read_challenge(&tag).await? {
                Ok(challenge) => {
                    let answer = if is_sent {
                        ""
                    } else {
                        response.expose_secret()
                    };
                    if is_sent {
                        told = status_in(&challenge);
                    }
                    self.send_more(answer).await?;
                    is_sent = true;
                }
                Err(done) => return self.logged_in(done, told),
            }
        }
        Err(ImapError::NotImap)
    }

    async fn read_challenge(&mut self, tag: &str) -> Result<Result<String, Done>, ImapError> {
        loop {
            match self.read().await? {
                Response::Continue(challenge) => return Ok(Ok(challenge)),
                Response::Done {
                    tag: ended,
                    status,
                    code,
                } if ended == tag => return Ok(Err(Done { status, code })),
                _ => {}
            }
        }
    }

    fn logged_in(&mut self, done: Done, told: String) -> Result<(), ImapError> {
        let Done { status, code } = done;
        if status == Status::Ok {
            if code.name != "CAPABILITY" {
                // A user may see other capabilities than a stranger.
                self.capabilities.clear();
            }
            return Ok(());
        }
        Err(refusal(code, told))
    }
}

fn refusal(code: Code, told: String) -> ImapError {
    if PASSING.contains(&code.name.as_str()) {
        return ImapError::Refused {
            command: "the login for now",
            code: code.name,
        };
    }
    ImapError::Login(if code.name.is_empty() {
        told
    } else {
        code.name
    })
}

/// The status in a challenge of XOAUTH2: `{"status":"401","schemes":"bearer",...}`. Digits only.
fn status_in(challenge: &str) -> String {
    let decoded = STANDARD.decode(challenge).unwrap_or_default();
    let text = String::from_utf8_lossy(&decoded);
    let Some((_, after)) = text.split_once("\"status\"") else {
        return String::new();
    };
    let digits: String = after
        .chars()
        .skip_while(|c| matches!(c, ' ' | ':' | '"'))
        .take_while(char::is_ascii_digit)
        .take(4)
        .collect();
    if digits.is_empty() {
        digits
    } else {
        format!("status {digits}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_challenge_is_told_and_nothing_else() {
        let challenge = STANDARD
            .encode(r#"{"status" : "401","schemes":"bearer","scope":"https://mail.google.com/"}"#);
        assert_eq!(status_in(&challenge), "status 401");
        assert_eq!(status_in("no base64"), "");
        assert_eq!(status_in(&STANDARD.encode("{}")), "");
    }

    #[test]
    fn a_busy_server_is_not_a_wrong_password() {
        let code = |name: &str| Code {
            name: name.to_owned(),
            rest: String::new(),
        };
        assert!(!refusal(code("UNAVAILABLE"), String::new()).needs_person());
        assert!(refusal(code("AUTHENTICATIONFAILED"), String::new()).needs_person());
        assert!(refusal(code(""), String::new()).needs_person());
    }
}
