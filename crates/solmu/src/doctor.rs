//! `solmu doctor`: looks at an installation from where it stands, and says what to do.

use std::{fmt::Write as _, fs, io::ErrorKind, path::Path};

use solmu_bus::Bus;
use solmu_db::Db;
use solmu_domain::clock::{Clock as _, SystemClock};
use solmu_runtime::doctor::{Finding, Verdict, bus_unreachable, examine_bus, examine_postgres};

use crate::{
    arguments::Target,
    config::{self, Config},
    engines, out,
};

/// Free room below which a disk is worth a word: bytes, or a share in a hundred where that is less (a small disk).
const ROOM: (u64, u64) = (5 << 30, 10);

/// Runs every check and prints what was found. True when nothing is bad.
pub(crate) async fn run(
    data: &Path,
    file: Option<&Path>,
    target: &Target,
    monitoring: &[String],
    json: bool,
) -> anyhow::Result<bool> {
    let findings = examine(data, file, target, monitoring).await;
    let mut text = String::new();
    for finding in &findings {
        let line = if json {
            serde_json::to_string(finding)?
        } else {
            shown(finding)
        };
        writeln!(text, "{line}")?;
    }
    let worst = findings.iter().map(|finding| finding.verdict).max();
    if !json {
        let end = match worst {
            Some(Verdict::Bad) => "Something has to be mended.",
            Some(Verdict::Warning) => "It works; look at the warnings.",
            _ => "All is well.",
        };
        writeln!(text, "{end}")?;
    }
    out::print(text)?;
    Ok(worst != Some(Verdict::Bad))
}

fn shown(finding: &Finding) -> String {
    let mark = match finding.verdict {
        Verdict::Good => "ok",
        Verdict::Warning => "warning",
        Verdict::Bad => "BAD",
    };
    let line = format!("{mark:<8} {:<21} {}", finding.check, finding.found);
    if finding.advice.is_empty() {
        line
    } else {
        format!("{line}\n{:<30} -> {}", "", finding.advice)
    }
}

async fn examine(
    data: &Path,
    file: Option<&Path>,
    target: &Target,
    monitoring: &[String],
) -> Vec<Finding> {
    const CONFIGURATION: &str = "configuration";
    let config = match config::read(data, file, target, &[]) {
        Ok(config) => config,
        Err(error) => {
            let found = format!("{error:#}");
            return vec![Finding::bad(
                CONFIGURATION,
                found,
                "mend it; nothing else can be looked at",
            )];
        }
    };
    let mut findings = vec![match config::check(&config) {
        Ok(()) => Finding::good(CONFIGURATION, "can be used"),
        Err(error) => Finding::bad(
            CONFIGURATION,
            format!("{error:#}"),
            "see docs/configuration.md",
        ),
    }];
    findings.extend(secrets(&config));
    findings.extend(postgres(&config, data).await);
    findings.extend(bus(&config, data, monitoring).await);
    findings.push(objects(&config, data));
    findings.push(room("disk of the data", data));
    findings
}

fn secrets(config: &Config) -> Option<Finding> {
    let given = !config.postgres.url.expose().is_empty();
    (given && config.secrets.signing_keys.expose().is_empty()).then(|| {
        Finding::warning(
            "signing keys",
            "each data directory makes its own",
            "set secrets.signing_keys for all processes, or one does not know the reply addresses of another",
        )
    })
}

async fn postgres(config: &Config, data: &Path) -> Vec<Finding> {
    let opened = engines::postgres(config, data)
        .and_then(|url| Ok(Db::new(&url, &config.postgres.to_config())?));
    match opened {
        Ok(db) => {
            let own = config.postgres.url.expose().is_empty();
            let pool = config.postgres.max_connections;
            examine_postgres(&db, SystemClock.now(), pool, own).await
        }
        Err(error) => vec![Finding::bad(
            "postgres",
            format!("{error:#}"),
            "start `solmu serve` here, or set postgres.url",
        )],
    }
}

async fn bus(config: &Config, data: &Path, monitoring: &[String]) -> Vec<Finding> {
    let url = match engines::nats(config, data) {
        Ok(url) => url,
        Err(error) => {
            let advice = "start `solmu serve` here, or set nats.url";
            return vec![Finding::bad("nats", format!("{error:#}"), advice)];
        }
    };
    let own = config.nats.url.expose().is_empty();
    if let Some(finding) = bus_unreachable(&url).await {
        return vec![finding];
    }
    match Bus::connect(&url, config.nats.to_config()).await {
        Ok(bus) => {
            let replicas = usize::from(config.nats.replicas);
            examine_bus(&bus, SystemClock.now(), replicas, monitoring, own).await
        }
        Err(error) => vec![Finding::bad("nats", error.to_string(), "see nats.url")],
    }
}

/// The shared folder of attachments can be written, by this user.
fn objects(config: &Config, data: &Path) -> Finding {
    const CHECK: &str = "objects";
    let folder = match config.objects.folder.as_str() {
        "" => data.join("objects"),
        folder => folder.into(),
    };
    if !folder.exists() {
        return Finding::warning(
            CHECK,
            format!("'{}' is not there here", folder.display()),
            "right for a process that is no connector; else mount it or make it",
        );
    }
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    let written = fs::write(&probe, b"solmu").and_then(|()| fs::remove_file(&probe));
    match written {
        Ok(()) => room(CHECK, &folder),
        Err(error) => {
            let advice = match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    "it is full: make room, or give it more"
                }
                _ => "give the user of the process the right to write there",
            };
            Finding::bad(
                CHECK,
                format!("'{}' cannot be written: {error}", folder.display()),
                advice,
            )
        }
    }
}

fn room(check: &'static str, folder: &Path) -> Finding {
    let shown = folder.display();
    let (free, all) = match nix::sys::statvfs::statvfs(folder) {
        Ok(disk) => (
            disk.blocks_available() * disk.fragment_size(),
            disk.blocks() * disk.fragment_size(),
        ),
        Err(error) => {
            return Finding::warning(
                check,
                format!("'{shown}': {error}"),
                "does the folder exist?",
            );
        }
    };
    let found = format!("{} of {} free at '{shown}'", size(free), size(all));
    if scarce(free, all) {
        return Finding::bad(check, found, "make room before it is full");
    }
    Finding::good(check, found)
}

/// Whether so little is left that it is worth a word: one desk fills gigabytes of a large disk within hours of a campaign,
/// and a small disk is never far from full.
fn scarce(free: u64, all: u64) -> bool {
    free < ROOM.0.min(all / 100 * ROOM.1)
}

fn size(bytes: u64) -> String {
    match bytes {
        small if small < 1 << 30 => format!("{} MiB", small >> 20),
        large => format!("{} GiB", large >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_measured() {
        let folder = std::env::temp_dir();
        let finding = room("disk", &folder);
        assert!(finding.found.contains(" free at "), "{finding:?}");
        let missing = room("disk", Path::new("/nowhere/at/all"));
        assert_eq!(missing.verdict, Verdict::Warning);
        assert!(scarce(2 << 30, 500 << 30) && !scarce(6 << 30, 500 << 30));
        assert!(scarce(3 << 20, 40 << 20) && !scarce(5 << 20, 40 << 20));
        assert_eq!(
            (size(40 << 20), size(3 << 30)),
            ("40 MiB".to_owned(), "3 GiB".to_owned())
        );
    }
}
