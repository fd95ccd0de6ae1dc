//! `solmu email`: how Solmu reads a mail, without a server.

use std::{fs, io::Write as _, path::PathBuf};

use anyhow::bail;
use clap::{Args, Subcommand};
use solmu_domain::{
    rng::{Rng as _, SystemRng},
    signed::Signer,
};
use solmu_mime::{
    address::Address, authenticity::Trust, automatic::Surroundings, describe::describe,
    parse::ParseLimits,
};

/// What can be done with mail files.
#[derive(Debug, Subcommand)]
pub enum EmailCommand {
    /// Print what a mail says: one JSON object a file, each on one line
    Parse(ParseArgs),
}

/// Files, and what to know about them.
#[derive(Debug, Args)]
pub struct ParseArgs {
    /// Mails as they came (.eml)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// An address of ours: mail from it is our own; may be given more than once
    #[arg(long = "own", value_name = "ADDRESS")]
    own: Vec<String>,
    /// Name that our mail server signs its Authentication-Results with [default: no results are believed]
    #[arg(long, value_name = "NAME")]
    authserv_id: Option<String>,
    /// Received headers of ours that may stand above those results
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    trusted_hops: usize,
}

/// Runs a command.
pub(crate) fn run(command: EmailCommand) -> anyhow::Result<()> {
    let EmailCommand::Parse(arguments) = command;
    let own: Vec<String> = arguments
        .own
        .iter()
        .map(|text| Ok(Address::parse(text)?.without_tag()))
        .collect::<anyhow::Result<_>>()?;
    // Nothing was signed with this key: without the server's secret no Message-ID is ours.
    let mut secret = vec![0; 32];
    SystemRng.fill(&mut secret);
    let signer = Signer::new([("a".to_owned(), secret)])?;
    let around = Surroundings {
        mail_from: None,
        is_own: &|address| own.contains(&address.without_tag()),
        signer: &signer,
    };
    let trust = Trust {
        authserv_id: arguments.authserv_id.as_deref(),
        trusted_hops: arguments.trusted_hops,
    };
    let mut unread = 0;
    for file in &arguments.files {
        match fs::read(file) {
            Ok(raw) => {
                let described = describe(&raw, &ParseLimits::default(), &around, trust);
                let line = serde_json::to_string(&described)?;
                writeln!(std::io::stdout().lock(), "{line}")?;
            }
            Err(error) => {
                unread += 1;
                writeln!(
                    std::io::stderr().lock(),
                    "error: cannot read '{}': {error}",
                    file.display()
                )?;
            }
        }
    }
    if unread > 0 {
        bail!("{unread} of {} files were not read", arguments.files.len());
    }
    Ok(())
}
