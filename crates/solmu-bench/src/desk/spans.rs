//! Spans of time in the index of the search, as the service would have begun them for documents in the order of their time.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use sqlx::PgConnection;

/// Documents after which the service begins another span of a month.
const FULL: i64 = 20_000;

/// Beginnings and documents of spans, the oldest first; they are numbered from one.
#[derive(Debug, Default)]
pub(super) struct Spans {
    all: Vec<(Timestamp, i64)>,
    newest: Option<Timestamp>,
}

impl Spans {
    /// The number of the span that a document of this time belongs to. Documents come by their time; one may be a little
    /// older than the one before it.
    pub(super) fn of(&mut self, at: Timestamp) -> anyhow::Result<i64> {
        let month = at
            .to_zoned(TimeZone::UTC)
            .first_of_month()?
            .start_of_day()?;
        let month = month.timestamp();
        match self.all.last() {
            Some((starts, FULL..)) if *starts >= month && self.newest < Some(at) => {
                let behind = self.newest.unwrap_or(at) + 1.microsecond();
                self.all.push((behind, 0));
            }
            Some((starts, _)) if *starts >= month => {}
            _ => self.all.push((month, 0)),
        }
        self.newest = self.newest.max(Some(at));
        let later = self.all.iter().rev().take_while(|it| it.0 > at).count();
        let place = self.all.len() - later - 1;
        self.all[place].1 += 1;
        Ok(i64::try_from(place + 1)?)
    }

    pub(super) async fn write(self, tx: &mut PgConnection) -> anyhow::Result<()> {
        let (starts, documents): (Vec<String>, Vec<i64>) = self
            .all
            .iter()
            .map(|(starts, documents)| (starts.to_string(), *documents))
            .unzip();
        sqlx::query(
            "INSERT INTO tickets.search_span (id, starts, documents) OVERRIDING SYSTEM VALUE
             SELECT place, starts::timestamptz, documents
             FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS span (starts, documents, place)",
        )
        .bind(starts)
        .bind(documents)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "SELECT setval(pg_get_serial_sequence('tickets.search_span', 'id'), max(id)) FROM tickets.search_span",
        )
        .execute(tx)
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_a_span_and_a_full_one_ends() {
        let mut spans = Spans::default();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(spans.of(at("2026-04-30T23:59:59Z")).unwrap(), 1);
        assert_eq!(spans.of(at("2026-05-01T00:00:00Z")).unwrap(), 2);
        assert_eq!(spans.of(at("2026-04-30T23:59:58Z")).unwrap(), 1);
        let may = at("2026-05-02T00:00:00Z");
        for second in 0..FULL {
            assert!(spans.of(may + second.seconds()).unwrap() >= 2);
        }
        assert_eq!(spans.of(may + FULL.seconds()).unwrap(), 3);
        assert_eq!(spans.of(may).unwrap(), 2);
    }
}
