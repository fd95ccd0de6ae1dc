//! `solmu dead list|show|replay`.

use std::path::Path;

use anyhow::bail;
use solmu_bus::{Bus, dead::DeadEntry, envelope::from_proto_time};
use solmu_domain::rng::{Rng as _, SystemRng};

use crate::{
    arguments::{DeadTask, Target},
    config, engines,
};

/// Most letters that one command handles.
const MAX: usize = 100_000;

pub(crate) async fn run(
    data: &Path,
    file: Option<&Path>,
    target: &Target,
    task: DeadTask,
    json: bool,
) -> anyhow::Result<()> {
    let config = config::read(data, file, target, &[])?;
    let bus = Bus::connect(&engines::nats(&config, data)?, config.nats.to_config()).await?;
    match task {
        DeadTask::List { limit } => {
            let letters = bus.dead_letters(1, limit).await?;
            for letter in &letters {
                print(letter, json);
            }
            if letters.is_empty() && !json {
                println!("no dead letters");
            }
        }
        DeadTask::Show { sequence } => print(&find(&bus, sequence).await?, true),
        DeadTask::Replay { sequence } => {
            let letters = match sequence {
                Some(sequence) => vec![find(&bus, sequence).await?],
                None => bus.dead_letters(1, MAX).await?,
            };
            for letter in &letters {
                bus.replay(letter, SystemRng.next_u64()).await?;
            }
            println!("replayed {}", letters.len());
        }
    }
    Ok(())
}

async fn find(bus: &Bus, sequence: u64) -> anyhow::Result<DeadEntry> {
    match bus.dead_letters(sequence, 1).await?.pop() {
        Some(entry) if entry.sequence == sequence => Ok(entry),
        _ => bail!("there is no dead letter {sequence}: see `solmu dead list`"),
    }
}

fn print(entry: &DeadEntry, json: bool) {
    let letter = &entry.letter;
    let event = letter.event.clone().unwrap_or_default();
    let at = letter
        .dead_time
        .as_ref()
        .map(|at| from_proto_time(at).to_string())
        .unwrap_or_default();
    if json {
        let value = serde_json::json!({
            "sequence": entry.sequence, "time": at, "consumer": letter.consumer, "subject": letter.subject,
            "cause_code": letter.cause_code, "cause": letter.cause, "attempts": letter.attempts,
            "event": { "id": event.id, "type": event.r#type, "subject": event.subject, "bytes": event.data.len() },
        });
        println!("{value}");
    } else {
        println!(
            "{:>6}  {at}  {:<24} {:<40} {}",
            entry.sequence, letter.cause_code, event.r#type, letter.consumer
        );
    }
}
