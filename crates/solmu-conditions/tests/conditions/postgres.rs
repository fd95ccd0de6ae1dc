//! A real PostgreSQL selects exactly the rows that the evaluation in memory holds for.

use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use solmu_conditions::{Condition, Field, FieldType, Schema, fold_sql, parse, words_sql};
use sqlx::{Connection, PgConnection, Postgres, QueryBuilder};

use crate::strategies::{Row, condition, prepared_schema, row, schema};

const ROWS: usize = 150;
const CONDITIONS: usize = 400;

#[expect(
    clippy::disallowed_methods,
    reason = "the test runner says where its database is by the environment"
)]
fn postgres_url() -> String {
    std::env::var("SOLMU_TEST_POSTGRES_URL").expect("run through `cargo xtask test`")
}

/// A table with the columns of the schema, the searched ones also prepared, in a session of its own.
async fn table() -> PgConnection {
    let mut connection = PgConnection::connect(&postgres_url()).await.unwrap();
    let mut create = QueryBuilder::<Postgres>::new(
        "CREATE TEMPORARY TABLE item (place bigint, subject text, body text, sender text, status text, priority text, \
         vip boolean, replies bigint, price numeric, created_at timestamptz, age interval, org uuid, tags text[], headers jsonb, \
         subject_folded text GENERATED ALWAYS AS (",
    );
    create
        .push(fold_sql("subject"))
        .push(") STORED, body_words text GENERATED ALWAYS AS (");
    create.push(words_sql("body")).push(") STORED)");
    create.build().execute(&mut connection).await.unwrap();
    connection
}

async fn insert(connection: &mut PgConnection, place: usize, row: &Row) {
    let mut query = QueryBuilder::<Postgres>::new(
        "INSERT INTO item (place, subject, body, sender, status, priority, vip, replies, price, created_at, age, org, tags, \
         headers) VALUES (",
    );
    query.push_bind(i64::try_from(place).unwrap());
    for text in [
        &row.subject,
        &row.body,
        &row.sender,
        &row.status,
        &row.priority,
    ] {
        query.push(", ").push_bind(text.clone());
    }
    query
        .push(", ")
        .push_bind(row.vip)
        .push(", ")
        .push_bind(row.replies)
        .push(", ")
        .push_bind(row.price.clone())
        .push("::numeric");
    query
        .push(", ")
        .push_bind(row.created_at.map(|at| at.to_string()))
        .push("::timestamptz");
    let age = row
        .age
        .map(|age| format!("{} microseconds", age.as_micros()));
    query
        .push(", ")
        .push_bind(age)
        .push("::interval, ")
        .push_bind(row.org);
    query.push(", ").push_bind(row.tags.clone());
    query
        .push(", ")
        .push_bind(row.headers.clone().map(sqlx::types::Json))
        .push(")");
    query.build().execute(connection).await.unwrap();
}

async fn selected(
    connection: &mut PgConnection,
    schema: &Schema,
    condition: &Condition,
) -> Vec<usize> {
    let checked = schema.check(condition).unwrap();
    let mut query = QueryBuilder::<Postgres>::new("SELECT place FROM item WHERE ");
    checked.push_sql(&mut query).unwrap();
    query.push(" ORDER BY place");
    let places: Vec<i64> = query
        .build_query_scalar()
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{checked}: {error}"));
    places
        .into_iter()
        .map(|place| usize::try_from(place).unwrap())
        .collect()
}

#[tokio::test]
async fn memory_and_postgres_answer_alike() {
    let mut connection = table().await;
    let mut runner = TestRunner::deterministic();
    let mut rows = vec(row(), ROWS).new_tree(&mut runner).unwrap().current();
    rows.push(Row::default());
    for (place, row) in rows.iter().enumerate() {
        insert(&mut connection, place, row).await;
    }
    let mut decided = 0;
    for _ in 0..CONDITIONS {
        let condition = condition().new_tree(&mut runner).unwrap().current();
        let checked = schema().check(&condition).unwrap();
        let expected: Vec<usize> = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| checked.evaluate(row))
            .map(|(place, _)| place)
            .collect();
        for schema in [schema(), prepared_schema()] {
            let found = selected(&mut connection, &schema, &condition).await;
            let differing =
                (0..rows.len()).find(|place| expected.contains(place) != found.contains(place));
            let explained =
                differing.map(|place| (checked.explain(&rows[place]).sentence(), &rows[place]));
            assert_eq!(
                explained.map(|(sentence, row)| format!("{checked}\n{sentence}\n{row:?}")),
                None
            );
        }
        decided += usize::from(!expected.is_empty() && expected.len() < rows.len());
    }
    assert!(
        decided * 2 > CONDITIONS,
        "only {decided} conditions told rows apart"
    );
}

/// The characters of all blocks that folding touches, alone and before a mark, so that no text of a customer is found by
/// one side only.
#[tokio::test]
async fn memory_and_postgres_fold_every_character_alike() {
    let mut connection = PgConnection::connect(&postgres_url()).await.unwrap();
    let blocks = [
        '\u{1}'..='\u{3100}',
        '\u{fd00}'..='\u{10010}',
        '\u{1eff0}'..='\u{1fb10}',
    ];
    let characters: Vec<char> = blocks.into_iter().flatten().collect();
    for block in characters.chunks(5_000) {
        let texts: Vec<String> = block
            .iter()
            .map(|character| format!("a{character}\u{308}b"))
            .collect();
        let mut query = QueryBuilder::<Postgres>::new("SELECT ");
        query
            .push(fold_sql("sample"))
            .push(", ")
            .push(words_sql("sample"))
            .push(" FROM unnest(");
        query
            .push_bind(texts.clone())
            .push(") WITH ORDINALITY AS samples (sample, place) ORDER BY place");
        let folded: Vec<(String, String)> = query
            .build_query_as()
            .fetch_all(&mut connection)
            .await
            .unwrap();
        for (text, (folded, words)) in texts.iter().zip(folded) {
            assert_eq!(folded, solmu_conditions::fold(text), "{text:?}");
            assert_eq!(words, solmu_conditions::words(text), "{text:?}");
        }
    }
}

#[tokio::test]
async fn an_index_serves_conditions_on_plain_columns() {
    let mut connection = table().await;
    sqlx::query("CREATE INDEX ON item (sender)")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query("SET enable_seqscan = off")
        .execute(&mut connection)
        .await
        .unwrap();
    let checked = parse(
        "sender = maija@example.fi AND NOT status = closed",
        &schema(),
    )
    .unwrap();
    let mut query = QueryBuilder::<Postgres>::new("EXPLAIN SELECT place FROM item WHERE ");
    checked.push_sql(&mut query).unwrap();
    let plan: Vec<String> = query
        .build_query_scalar()
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert!(
        plan.iter()
            .any(|line| line.contains("Index Cond: (sender = ")),
        "{plan:#?}"
    );
}

/// Cards, the mail of which stands in another table.
async fn cards(connection: &mut PgConnection) {
    for statement in [
        "CREATE TEMPORARY TABLE card (place bigint, at timestamptz, fields jsonb, orgs uuid[], open boolean, own jsonb)",
        "CREATE TEMPORARY TABLE mail (card bigint, address text)",
        "INSERT INTO card VALUES
            (1, '2026-03-31T21:30:00Z', '{\"order\": [\"A-1\"], \"sum\": [\"12.5\"]}',
                '{00000000-0000-0000-0000-00000000000a,00000000-0000-0000-0000-00000000000b}', true, '{\"tier\": \"gold\"}'),
            (2, '2026-04-30T20:59:59Z', '{\"order\": [\"A-2\"]}', '{}', false, '{}'),
            (3, '2026-04-30T21:00:00Z', '{}', '{00000000-0000-0000-0000-00000000000b}', true, '{\"tier\": \"iron\"}')",
        "INSERT INTO mail VALUES (1, 'a@x.example'), (1, 'b@y.example'), (2, 'c@y.example')",
    ] {
        sqlx::query(statement).execute(&mut *connection).await.unwrap();
    }
}

fn card_schema() -> Schema {
    let helsinki = jiff::tz::TimeZone::get("Europe/Helsinki").unwrap();
    Schema::new()
        .with(Field::new("at", FieldType::Timestamp).column("card.at"))
        .with(Field::new("open", FieldType::Bool).column("card.open"))
        .with(
            Field::new("org", FieldType::Id)
                .column("card.orgs")
                .in_set(),
        )
        .with(
            Field::new("mail", FieldType::Keyword)
                .column("mail.address")
                .within("card.place IN (SELECT mail.card FROM mail WHERE", ")"),
        )
        .with(
            Field::new("f.order", FieldType::Keyword)
                .keyed_column("card.fields #>> ARRAY[", "order", "::text, '0']")
                .in_arrays("card.fields"),
        )
        .with(
            Field::new("f.sum", FieldType::Decimal)
                .keyed_column("(card.fields #>> ARRAY[", "sum", "::text, '0'])::numeric")
                .in_arrays("card.fields"),
        )
        .with(
            Field::new("own.tier", FieldType::Keyword)
                .keyed_column("card.own ->> ", "tier", "::text")
                .in_texts("card.own"),
        )
        .naming("mine", "00000000-0000-0000-0000-00000000000a")
        .read_at("2026-05-01T00:00:00Z".parse().unwrap(), helsinki)
}

/// Custom fields, values of other rows, sets of ids, periods: what lists need beside plain columns.
#[tokio::test]
async fn fields_of_other_rows_keys_and_periods_select_what_they_say() {
    let mut connection = PgConnection::connect(&postgres_url()).await.unwrap();
    cards(&mut connection).await;
    let schema = card_schema();
    for (filter, places) in [
        ("at = 2026-04", vec![1, 2]),
        ("at != 2026-04", vec![3]),
        ("at > 2026-04", vec![3]),
        ("at <= 2026-04-01", vec![1]),
        ("at >= -3h", vec![3]),
        ("open = true", vec![1, 3]),
        ("open = false", vec![2]),
        ("NOT open = true", vec![2]),
        ("org = mine", vec![1]),
        (
            "org = (mine OR 00000000-0000-0000-0000-00000000000b)",
            vec![1, 3],
        ),
        ("NOT org:*", vec![2]),
        ("mail = b@y.example", vec![1]),
        ("mail = \"*@y.example\"", vec![1, 2]),
        ("NOT mail = \"*@x.example\"", vec![2, 3]),
        ("f.order = A-2", vec![2]),
        ("f.order:*", vec![1, 2]),
        ("f.order = \"A-*\" f.sum > 12", vec![1]),
        ("f.sum = (12 OR 13)", vec![]),
        ("f.sum = (12.50 OR 13)", vec![1]),
        ("f.sum = 12.50", vec![1]),
        ("f.sum = 12.5000000001 OR f.sum = 12", vec![]),
        ("f.sum != 12 f.sum < 12.6 f.sum >= 12.5", vec![1]),
        ("NOT f.sum > 12.5", vec![1, 2, 3]),
        ("own.tier = gold", vec![1]),
        ("own.tier != gold", vec![3]),
        // Of several: there is one, and none is equal.
        ("mail != b@y.example", vec![2]),
        ("mail != c@y.example", vec![1]),
        ("org != mine", vec![3]),
        ("NOT org = mine", vec![2, 3]),
    ] {
        let checked = parse(filter, &schema).unwrap_or_else(|error| panic!("{filter}: {error}"));
        let written = checked.to_filter_string();
        assert_eq!(parse(&written, &schema).as_ref(), Ok(&checked), "{written}");
        let mut query = QueryBuilder::<Postgres>::new("SELECT place FROM card WHERE ");
        checked.push_sql(&mut query).unwrap();
        query.push(" ORDER BY place");
        let found: Vec<i64> = query
            .build_query_scalar()
            .fetch_all(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{filter}: {error}"));
        assert_eq!(found, places, "{filter}");
    }
}
