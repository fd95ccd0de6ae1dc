//! What conditions answer in memory, and how they explain it.

use solmu_conditions::{Fact, Facts, Found, SearchText, parse};

use crate::strategies::{Row, schema};

fn holds(filter: &str, facts: &dyn Facts) -> bool {
    parse(filter, &schema())
        .unwrap_or_else(|error| panic!("{filter}: {error}"))
        .evaluate(facts)
}

fn row() -> Row {
    Row {
        subject: Some("Re: Häiriö VERKOSSA".into()),
        body: Some("Hei, toimitukseni on myöhässä. SLA:n mukaan... Sää oli huono.".into()),
        sender: Some("maija@example.fi".into()),
        priority: Some("high".into()),
        tags: Some(vec!["vip".into(), "lasku".into()]),
        replies: Some(3),
        ..Row::default()
    }
}

#[test]
fn a_comparison_with_an_absent_value_is_false_and_its_negation_true() {
    let row = row();
    for filter in [
        "status = open",
        "status != open",
        "status = (new OR open)",
        "vip = true",
        "vip != true",
        "org:*",
    ] {
        assert!(!holds(filter, &row), "{filter}");
        assert!(holds(&format!("NOT {filter}"), &row), "NOT {filter}");
    }
    let empty = Row {
        subject: Some(String::new()),
        tags: Some(Vec::new()),
        body: Some("…".into()),
        ..Row::default()
    };
    for filter in ["subject:*", "tags:*", "words:*"] {
        assert!(!holds(filter, &empty), "{filter}");
        assert!(holds(filter, &row), "{filter}");
    }
    assert!(holds("subject = \"\"", &empty));
}

#[test]
fn words_match_whole_words_in_any_spelling_of_case_and_accents() {
    let row = row();
    for found in [
        "toimit*",
        "MYÖHÄSSÄ",
        "sla",
        "\"sla n mukaan\"",
        "\"on myöh*\"",
        "sää",
        "(words:xyz OR words:hei)",
    ] {
        assert!(holds(found, &row), "{found}");
    }
    for missed in [
        "toimit",
        "imitukseni",
        "saa",
        "myohassa",
        "\"mukaan hei\"",
        "\"toimit on\"",
    ] {
        assert!(!holds(missed, &row), "{missed}");
    }
    let undotted = Row {
        body: Some("verkossa HAIRIO".into()),
        ..Row::default()
    };
    assert!(holds("häiriö", &undotted));
    assert!(holds("words:(xyz OR häiriö)", &undotted));
}

#[test]
fn texts_fold_and_keywords_do_not() {
    let row = row();
    assert!(holds("subject = \"re: häiriö verkossa\"", &row));
    assert!(holds("subject:VERKO", &row));
    assert!(holds("subject = RE*", &row));
    assert!(!holds("subject:hairio", &row));
    assert!(holds("sender = \"*@example.fi\"", &row));
    assert!(!holds("sender = Maija@example.fi", &row));
    assert!(holds("tags:vip tags:la* tags:(x OR lasku)", &row));
    assert!(!holds("tags:VIP", &row));
}

#[test]
fn ordered_keywords_compare_by_their_place() {
    let row = row();
    assert!(holds(
        "priority >= high priority > normal priority <= urgent priority < urgent priority != low",
        &row
    ));
    assert!(!holds("priority > high", &row));
    assert!(!holds("priority < low", &row));
}

#[test]
fn a_prepared_text_answers_like_the_plain_one_and_other_types_count_as_absent() {
    struct Prepared(SearchText);
    impl Facts for Prepared {
        fn get(&self, field: &str) -> Option<Fact<'_>> {
            match field {
                "words" | "subject" => Some(Fact::from(&self.0)),
                "replies" => Some(Fact::from("3")),
                _ => None,
            }
        }
    }
    let text = "Toimitus MYÖHÄSSÄ";
    let prepared = Prepared(SearchText::new(text));
    let plain = Row {
        body: Some(text.into()),
        subject: Some(text.into()),
        ..Row::default()
    };
    for filter in [
        "toimit*",
        "myöhässä",
        "subject:itus",
        "subject = \"*myöhässä\"",
        "words:*",
        "subject:*",
        "sää",
    ] {
        assert_eq!(holds(filter, &prepared), holds(filter, &plain), "{filter}");
    }
    assert!(!holds("replies = 3", &prepared));
    assert!(!holds("replies:*", &prepared));
}

#[test]
fn the_sentence_names_what_decided() {
    let sentence = |filter: &str| parse(filter, &schema()).unwrap().explain(&row()).sentence();
    assert_eq!(
        sentence("tags:vip AND priority = low AND status = open"),
        "It does not match, because priority = \"low\" does not hold (priority is \"high\")."
    );
    assert_eq!(
        sentence("tags:vip AND NOT status = open AND myöhässä"),
        "It matches, because tags:\"vip\" holds (tags is \"vip\", \"lasku\"), status = \"open\" does not hold (status has \
         no value) and words:\"myöhässä\" holds (words is \"Hei, toimitukseni on myöhässä. SLA:n mukaan... Sää oli huono…\")."
    );
    assert_eq!(
        sentence("replies > 5 OR replies = 3"),
        "It matches, because replies = 3 holds (replies is 3)."
    );
    assert_eq!(sentence(""), "It matches, because nothing is asked.");
}

#[test]
fn the_explanation_has_the_shape_of_the_condition() {
    let explanation = parse("tags:vip AND (status = open OR replies = 3)", &schema())
        .unwrap()
        .explain(&row());
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(
        json["part"]["all"][1]["part"]["any"][0]["part"]["leaf"]["found"],
        "absent"
    );
    let deciding: Vec<_> = explanation
        .deciding()
        .into_iter()
        .map(|(leaf, _)| leaf.asked.as_str())
        .collect();
    assert_eq!(deciding, ["tags:\"vip\"", "replies = 3"]);
    assert_eq!(explanation.deciding()[1].0.found, Found::Value("3".into()));
}
