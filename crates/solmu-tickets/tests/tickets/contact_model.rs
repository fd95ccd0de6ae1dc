//! Random merges, unmerges and messages against a simple model: a list of merges, and who stands for whom worked out
//! from nothing each time.

use std::collections::BTreeMap;

use solmu_domain::rng::{Rng as _, SeededRng};
use uuid::Uuid;

use crate::{
    api_world::Api,
    contact_merges::{merge, merges, unmerge},
    support::mail,
};

/// Merges that hold, in order, and where each ticket belongs.
#[derive(Default)]
struct Model {
    contacts: Vec<Uuid>,
    merges: Vec<(String, Uuid, Uuid)>,
    tickets: BTreeMap<Uuid, Uuid>,
}

impl Model {
    /// Who stands for each contact: sets that grow, each with its first.
    fn roots(&self) -> BTreeMap<Uuid, Uuid> {
        let mut sets: Vec<Vec<Uuid>> = self.contacts.iter().map(|id| vec![*id]).collect();
        for (_, winner, loser) in &self.merges {
            let of = |sets: &[Vec<Uuid>], id: &Uuid| {
                sets.iter().position(|set| set.contains(id)).unwrap()
            };
            let from = of(&sets, loser);
            let lost = sets.remove(from);
            let into = of(&sets, winner);
            sets[into].extend(lost);
        }
        let pairs = sets
            .iter()
            .flat_map(|set| set.iter().map(|id| (*id, set[0])));
        pairs.collect()
    }
}

fn pick(rng: &SeededRng, below: usize) -> usize {
    usize::try_from(rng.next_u64() >> 33).unwrap() % below
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_sequence_of_merges_is_what_the_model_says() {
    let api = Api::new().await;
    let world = &api.world;
    let rng = SeededRng::new(15);
    let mut model = Model::default();
    for step in 0..90 {
        let known = model.contacts.len();
        match pick(&rng, 10) {
            // Somebody new.
            0 | 1 => {
                let address = format!("p{known}@n{known}.example");
                let ticket = world
                    .file(&mail(&format!("{step}@x.example"), &address))
                    .await;
                let ticket = ticket.unwrap();
                model.contacts.push(ticket.contact_id);
                model.tickets.insert(ticket.id, ticket.contact_id);
            }
            // Somebody known writes again: to themselves, whoever stands for them.
            2 if known > 0 => {
                let who = pick(&rng, known);
                let address = format!("p{who}@n{who}.example");
                let ticket = world
                    .file(&mail(&format!("{step}@x.example"), &address))
                    .await;
                let ticket = ticket.unwrap();
                assert_eq!(ticket.contact_id, model.contacts[who]);
                model.tickets.insert(ticket.id, ticket.contact_id);
            }
            3..=6 if known > 1 => {
                let (a, b) = (pick(&rng, known), pick(&rng, known));
                let (a, b) = (model.contacts[a], model.contacts[b]);
                if a == b {
                    continue;
                }
                let roots = model.roots();
                merge(&api, a, b).await.unwrap();
                if roots[&a] != roots[&b] {
                    let made = merges(&api, a).await.remove(0);
                    model.merges.push((made.id, a, b));
                }
            }
            7..=9 if !model.merges.is_empty() => {
                let (id, ..) = model.merges.remove(pick(&rng, model.merges.len()));
                unmerge(&api, &id).await.unwrap();
            }
            _ => continue,
        }
        // So that no two merges have the same time.
        world
            .harness
            .clock
            .advance(jiff::SignedDuration::from_millis(1));
        let stored: Vec<(Uuid, Uuid)> =
            sqlx::query_as("SELECT id, coalesce(root_id, id) FROM tickets.contact")
                .fetch_all(world.pool())
                .await
                .unwrap();
        let stored: BTreeMap<Uuid, Uuid> = stored.into_iter().collect();
        let wanted = model.roots();
        let wrong: Vec<_> = wanted
            .iter()
            .filter(|(id, root)| stored.get(id) != Some(root))
            .collect();
        assert!(wrong.is_empty(), "step {step}: {wrong:?}");
    }
    let owners: Vec<(Uuid, Uuid)> = sqlx::query_as("SELECT id, contact_id FROM tickets.ticket")
        .fetch_all(world.pool())
        .await
        .unwrap();
    let owners: BTreeMap<Uuid, Uuid> = owners.into_iter().collect();
    assert!(owners == model.tickets, "a merge moved a ticket");
}
