//! `solmu dead list|show|replay|drop`.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use solmu_bus::{
    Bus,
    dead::{DeadEntry, ReplayError},
    envelope::from_proto_time,
};
use solmu_domain::{
    clock::{Clock as _, SystemClock},
    rng::{Rng as _, SystemRng},
};

use crate::{
    arguments::{DeadTask, Target},
    config, out, reach,
};

/// Letters that are held in memory at a time: each may have a megabyte.
const PAGE: usize = 100;

pub(crate) async fn run(
    data: &Path,
    file: Option<&Path>,
    target: &Target,
    task: DeadTask,
    json: bool,
) -> anyhow::Result<()> {
    let config = config::read(data, file, target, &[])?;
    let bus = reach::nats(&config, data).await?;
    let done = perform(&bus, task, json).await;
    reach::explain(&bus, done)
}

async fn perform(bus: &Bus, task: DeadTask, json: bool) -> anyhow::Result<()> {
    match task {
        DeadTask::List { limit } => list(bus, limit, json).await,
        DeadTask::Show { sequence } => print(&find(bus, sequence).await?, true),
        DeadTask::Replay { sequence } => {
            let (replayed, left) = match sequence {
                Some(sequence) => replay(bus, &[find(bus, sequence).await?]).await?,
                None => replay_all(bus).await?,
            };
            out::line(format_args!("replayed {replayed}"))?;
            ensure!(
                left == 0,
                "{left} would only come back and stay where they are: drop them (`solmu dead drop`), or replay them with the release that knows them"
            );
            Ok(())
        }
        DeadTask::Drop {
            sequence,
            reason,
            keep,
            yes,
        } => {
            let removal = Removal { reason, keep, yes };
            remove(bus, sequence, &removal, json).await
        }
    }
}

async fn list(bus: &Bus, limit: usize, json: bool) -> anyhow::Result<()> {
    let (mut shown, mut next) = (0, 1);
    while shown < limit {
        let letters = bus.dead_letters(next, PAGE.min(limit - shown)).await?;
        let Some(last) = letters.last() else {
            break;
        };
        next = last.sequence + 1;
        for letter in &letters {
            print(letter, json)?;
        }
        shown += letters.len();
    }
    if shown == 0 && limit > 0 && !json {
        out::line("no dead letters")?;
    }
    Ok(())
}

/// Those that are there now: what dies again while this goes on comes behind them.
async fn replay_all(bus: &Bus) -> anyhow::Result<(usize, usize)> {
    let last = bus.last_dead_letter().await?;
    let (mut replayed, mut left, mut next) = (0, 0, 1);
    while next <= last {
        let mut letters = bus.dead_letters(next, PAGE).await?;
        letters.retain(|letter| letter.sequence <= last);
        let Some(end) = letters.last() else {
            break;
        };
        next = end.sequence + 1;
        let done = replay(bus, &letters).await?;
        replayed += done.0;
        left += done.1;
    }
    Ok((replayed, left))
}

/// How many were published again, and how many are of no use to anybody; of these it says why.
async fn replay(bus: &Bus, letters: &[DeadEntry]) -> anyhow::Result<(usize, usize)> {
    let mut left = 0;
    for letter in letters {
        match bus.replay(letter, SystemRng.next_u64()).await {
            Ok(()) => {}
            Err(ReplayError::Obstacle(why)) => {
                left += 1;
                out::warn(format_args!("{}: not replayed: {why}", letter.sequence));
            }
            Err(ReplayError::Bus(error)) => return Err(error.into()),
        }
    }
    Ok((letters.len() - left, left))
}

struct Removal {
    reason: String,
    keep: Option<PathBuf>,
    yes: bool,
}

async fn remove(bus: &Bus, sequence: u64, removal: &Removal, json: bool) -> anyhow::Result<()> {
    let entry = find(bus, sequence).await?;
    ensure!(
        !removal.reason.trim().is_empty(),
        "say why nobody needs it: --reason"
    );
    if !removal.yes {
        print(&entry, json)?;
        let advice = match entry.obstacle() {
            Some(why) => format!("nobody can do it ({why})"),
            None => "it can still be replayed".to_owned(),
        };
        bail!(
            "nothing was removed: {advice}. With --yes it is lost for good; --keep FILE keeps its bytes"
        );
    }
    if let Some(file) = &removal.keep {
        save(file, &entry.bytes)?;
    }
    ensure!(
        bus.drop_dead_letter(sequence).await?,
        "dead letter {sequence} is gone: somebody else has replayed or dropped it"
    );
    out::line(told(&entry, &removal.reason, json))?;
    Ok(())
}

/// The line that stays of it, in the form of a log line; without its content.
fn told(entry: &DeadEntry, reason: &str, json: bool) -> String {
    let mut line = facts(entry);
    line["message"] = "dead letter dropped".into();
    line["reason"] = reason.trim().into();
    line["drop_time"] = SystemClock.now().to_string().into();
    if json {
        return line.to_string();
    }
    format!(
        "dropped {}: {} {} of {}, dead since {} ({}): {}",
        entry.sequence,
        text_of(&line["event"]["type"]),
        text_of(&line["event"]["id"]),
        text_of(&line["consumer"]),
        text_of(&line["time"]),
        text_of(&line["cause_code"]),
        reason.trim()
    )
}

fn text_of(value: &serde_json::Value) -> &str {
    match value.as_str() {
        None | Some("") => "?",
        Some(text) => text,
    }
}

/// On the disk before the letter goes. It holds what a customer wrote: nobody else may read it.
fn save(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let saved = (|| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    saved.with_context(|| format!("nothing was removed: cannot write '{}'", path.display()))
}

async fn find(bus: &Bus, sequence: u64) -> anyhow::Result<DeadEntry> {
    match bus.dead_letters(sequence, 1).await?.pop() {
        Some(entry) if entry.sequence == sequence => Ok(entry),
        _ => bail!("there is no dead letter {sequence}: see `solmu dead list`"),
    }
}

fn facts(entry: &DeadEntry) -> serde_json::Value {
    let letter = &entry.letter;
    let event = letter.event.clone().unwrap_or_default();
    let at = letter.dead_time.as_ref().map(from_proto_time);
    let obstacle = entry.obstacle().map(|why| why.to_string());
    serde_json::json!({
        "sequence": entry.sequence, "time": at.map(|at| at.to_string()), "consumer": letter.consumer, "subject": letter.subject,
        "cause_code": letter.cause_code, "cause": letter.cause, "attempts": letter.attempts,
        "event": { "id": event.id, "type": event.r#type, "subject": event.subject, "bytes": event.data.len() },
        "not_replayable": obstacle,
    })
}

fn print(entry: &DeadEntry, json: bool) -> anyhow::Result<()> {
    let facts = facts(entry);
    if json {
        return Ok(out::line(facts)?);
    }
    let mark = match entry.obstacle() {
        Some(_) => "  (nobody can read it)",
        None => "",
    };
    Ok(out::line(format_args!(
        "{:>6}  {}  {:<24} {:<40} {}{mark}",
        entry.sequence,
        text_of(&facts["time"]),
        text_of(&facts["cause_code"]),
        text_of(&facts["event"]["type"]),
        text_of(&facts["consumer"])
    ))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_for_us_alone_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = std::env::temp_dir().join(format!("solmu-dead-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("letter");
        save(&file, b"bytes").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"bytes");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(save(&file, b"other").is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
