//! How a command reaches the server, and what a person is told when it does not.

use std::{fs, io, path::PathBuf};

use anyhow::{Context as _, anyhow};
use solmu_client::{Client, ClientError, Code};

use crate::{local::LocalConfig, output::Output};

/// Where `solmu serve` listens unless it is told otherwise.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:7310";
/// The file that `solmu serve` keeps its first token in.
const TOKEN_FILE: &str = "token";

/// How to reach the server, and how to print.
#[derive(Debug, Clone, clap::Args)]
pub struct ConnectOptions {
    /// Address of the gRPC API [default: of the configuration in the data directory, else http://127.0.0.1:7310]
    #[arg(long, global = true, env = "SOLMU_ENDPOINT", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Bearer token [default: the file `token` of the data directory]
    #[arg(
        long,
        global = true,
        env = "SOLMU_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub token: Option<String>,
    /// Data directory of a `solmu serve` on this machine
    #[arg(
        long,
        global = true,
        env = "SOLMU_DATA",
        default_value = "./solmu-data",
        value_name = "DIR"
    )]
    pub data: PathBuf,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,
}

/// What a command works with.
#[derive(Debug)]
pub struct Session {
    /// As they were given.
    pub options: ConnectOptions,
    /// Where results go.
    pub out: Output,
    endpoint: String,
}

impl Session {
    /// Finds out where the server is; nothing is connected yet.
    #[must_use]
    pub fn new(options: ConnectOptions) -> Self {
        let out = Output::new(options.json);
        // A configuration that cannot be read is the server's to complain about; a flag helps here.
        let configured = || LocalConfig::of_data(&options.data).ok()?.grpc();
        let endpoint = options
            .endpoint
            .clone()
            .or_else(configured)
            .unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        Self {
            options,
            out,
            endpoint,
        }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A client; nothing is connected yet.
    pub fn client(&self) -> anyhow::Result<Client> {
        let token = match &self.options.token {
            Some(token) => token.clone(),
            None => self.token_of_file()?,
        };
        Ok(Client::connect(self.endpoint(), &token)?)
    }

    fn token_of_file(&self) -> anyhow::Result<String> {
        let path = self.options.data.join(TOKEN_FILE);
        let shown = path.display();
        match fs::read_to_string(&path) {
            Ok(token) if !token.trim().is_empty() => Ok(token.trim().to_owned()),
            Ok(_) => Err(anyhow!("the token file '{shown}' is empty: set SOLMU_TOKEN or pass --token")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(anyhow!(
                "there is no token: '{shown}' does not exist. Start `solmu serve` here, name its data directory with \
                 --data, or set SOLMU_TOKEN; one that is lost is made anew by `solmu first-token --again`"
            )),
            Err(error) => Err(error).with_context(|| {
                format!("cannot read the token file '{shown}': it belongs to the user who runs `solmu serve`")
            }),
        }
    }

    /// A sentence for a person, with what to do, in place of a status.
    pub fn explain(&self, status: tonic::Status) -> anyhow::Error {
        explain(ClientError::from(status), &self.options, self.endpoint())
    }
}

fn explain(error: ClientError, options: &ConnectOptions, endpoint: &str) -> anyhow::Error {
    if let ClientError::Unreachable { source } = &error {
        // The whole chain says the same four times.
        let chain =
            std::iter::successors(Some(source.as_ref() as &dyn std::error::Error), |cause| {
                cause.source()
            });
        let cause = chain.last().map(ToString::to_string).unwrap_or_default();
        return anyhow!(
            "no Solmu answers at {endpoint}. Start it with `solmu serve`, or name another with --endpoint ({cause})"
        );
    }
    let token = options.data.join(TOKEN_FILE);
    let hint = match error.code() {
        Some(Code::Unauthenticated) if options.token.is_some() => format!(
            "the token of --token or SOLMU_TOKEN is not valid at {endpoint}. The server on this machine keeps one in '{}'",
            token.display()
        ),
        Some(Code::Unauthenticated) => format!(
            "the token in '{}' is not valid at {endpoint}: it may be of another server, or revoked. Pass one with --token \
             or SOLMU_TOKEN",
            token.display()
        ),
        Some(Code::PermissionDenied) => {
            "the token's role may not do this: an admin makes others with `solmu token create`"
                .to_owned()
        }
        Some(Code::Aborted) => {
            "somebody else changed it meanwhile: look at it again and repeat".to_owned()
        }
        Some(Code::Unimplemented) => {
            format!("{endpoint} does not offer this: is the role that does it running there?")
        }
        Some(Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded) => {
            "the server cannot do this at the moment: try again in a few seconds".to_owned()
        }
        _ => return anyhow::Error::new(error),
    };
    anyhow::Error::new(error).context(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(data: PathBuf) -> ConnectOptions {
        ConnectOptions {
            endpoint: None,
            token: None,
            data,
            json: false,
        }
    }

    fn said(code: Code, token: Option<&str>) -> String {
        let mut options = options("/d".into());
        options.token = token.map(str::to_owned);
        let error = explain(
            ClientError::from(tonic::Status::new(code, "why")),
            &options,
            "http://h:1",
        );
        format!("{error:#}")
    }

    #[test]
    fn errors_say_what_to_do() {
        assert!(
            said(Code::Unauthenticated, None)
                .starts_with("the token in '/d/token' is not valid at http://h:1")
        );
        assert!(
            said(Code::Unauthenticated, Some("x"))
                .contains("The server on this machine keeps one in '/d/token'")
        );
        assert!(said(Code::PermissionDenied, None).contains("solmu token create"));
        assert_eq!(said(Code::NotFound, None), "why");
        assert!(said(Code::Aborted, None).ends_with(": why"));
    }

    #[tokio::test]
    async fn a_missing_server_is_named() {
        let mut options = options("/d".into());
        options.endpoint = Some("http://127.0.0.1:1".to_owned());
        options.token = Some("t".to_owned());
        let session = Session::new(options);
        let request = solmu_proto::routing::v1::ListTeamsRequest::default();
        let status = session
            .client()
            .unwrap()
            .routing()
            .list_teams(request)
            .await
            .unwrap_err();
        let text = session.explain(status).to_string();
        assert!(
            text.starts_with("no Solmu answers at http://127.0.0.1:1. Start it with `solmu serve`"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn the_token_comes_from_the_data_directory() {
        let folder = std::env::temp_dir().join(format!("solmu-cli-connect-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let session = Session::new(options(folder.clone()));
        let text = session.token_of_file().unwrap_err().to_string();
        assert!(
            text.contains("does not exist. Start `solmu serve`"),
            "{text}"
        );
        fs::write(folder.join(TOKEN_FILE), "\n").unwrap();
        assert!(
            session
                .token_of_file()
                .unwrap_err()
                .to_string()
                .contains("is empty")
        );
        fs::write(folder.join(TOKEN_FILE), "slm_abc\n").unwrap();
        fs::write(
            folder.join("solmu.toml"),
            "[server]\ngrpc_address = \"0.0.0.0:9\"\n",
        )
        .unwrap();
        assert_eq!(
            Session::new(session.options.clone()).endpoint(),
            "http://127.0.0.1:9"
        );
        assert_eq!(session.token_of_file().unwrap(), "slm_abc");
        assert!(session.client().is_ok());
        fs::remove_dir_all(folder).unwrap();
    }
}
