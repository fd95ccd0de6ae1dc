//! The same events give the same people, in whatever order they come.

use proptest::prelude::*;
use solmu_domain::contact::Assurance;
use solmu_identity::{Evidence, Kind, Limits, Sighting, resolve};

use crate::cases::groups;

const NAMES: [&str; 7] = [
    "Aino Virtanen",
    "Virtanen AINO",
    "Aino",
    "Matti Virtanen",
    "Aino Maria Virtanen",
    "Olga Laine",
    "",
];

/// Few values, so that they collide.
fn evidence() -> impl Strategy<Value = Evidence> {
    let values = prop::sample::select(vec![
        (Kind::Email, "aino@c.example"),
        (Kind::Email, "aino+x@c.example"),
        (Kind::Email, "info@c.example"),
        (Kind::Email, "test@test.com"),
        (Kind::Phone, "040 111 2223"),
        (Kind::Whatsapp, "358401112223"),
        (Kind::Whatsapp, "FI.1"),
        (Kind::External, "u-1"),
        (Kind::External, "u-2"),
        (Kind::Cookie, "c1"),
        (Kind::Psid, "7"),
        (Kind::CustomerNumber, "K1"),
    ]);
    let levels = prop::sample::select(vec![Assurance::Weak, Assurance::Claimed, Assurance::Proven]);
    (values, levels).prop_map(|((kind, raw), assurance)| Evidence {
        kind,
        scope: String::new(),
        raw: raw.to_owned(),
        assurance,
    })
}

fn events() -> impl Strategy<Value = Vec<Sighting>> {
    let event = (
        0_i64..4,
        0..NAMES.len(),
        prop::collection::vec(evidence(), 0..4),
    );
    prop::collection::vec(event, 1..14).prop_map(|events| {
        events
            .into_iter()
            .enumerate()
            .map(|(n, (at, name, evidence))| Sighting {
                id: format!("e{n:02}"),
                // Some of them silent for long.
                at: at * 40 * 86_400,
                name: NAMES[name].to_owned(),
                evidence,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_gives_the_same_people(
        (events, shuffled) in events().prop_flat_map(|events| {
            let shuffled = Just(events.clone()).prop_shuffle();
            (Just(events), shuffled)
        })
    ) {
        let limits = Limits::default();
        let (a, b) = (resolve(&events, &limits), resolve(&shuffled, &limits));
        prop_assert_eq!(groups(&events, &a.profile), groups(&shuffled, &b.profile));
        prop_assert_eq!(groups(&events, &a.access), groups(&shuffled, &b.access));
        let told = |events: &[Sighting], of: &[solmu_identity::Suggestion]| -> Vec<_> {
            of.iter().map(|it| (events[it.a].id.clone(), events[it.b].id.clone(), it.reason, it.value.clone())).collect()
        };
        prop_assert_eq!(told(&events, &a.suggestions), told(&shuffled, &b.suggestions));
        prop_assert_eq!(a.links.len(), b.links.len());
    }

    /// Links make the people: one fewer than members for each of them, and no link leads out of one.
    #[test]
    fn links_say_why(events in events()) {
        let resolution = resolve(&events, &Limits::default());
        let people = groups(&events, &resolution.profile).len();
        prop_assert_eq!(resolution.links.len(), events.len() - people);
        for link in &resolution.links {
            prop_assert_eq!(resolution.profile[link.a], resolution.profile[link.b]);
        }
        for it in &resolution.suggestions {
            prop_assert_ne!(resolution.profile[it.a], resolution.profile[it.b]);
        }
    }

    /// Without what both sides proved nobody sees anybody's history.
    #[test]
    fn unproven_evidence_never_changes_access(events in events()) {
        let proven: Vec<Sighting> = events.iter().cloned().map(|mut event| {
            event.evidence.retain(|it| it.assurance == Assurance::Proven);
            event
        }).collect();
        let limits = Limits::default();
        let (all, only) = (resolve(&events, &limits), resolve(&proven, &limits));
        prop_assert_eq!(groups(&events, &all.access), groups(&proven, &only.access));
    }
}
