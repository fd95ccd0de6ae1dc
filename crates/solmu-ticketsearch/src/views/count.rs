//! How many tickets a view has: up to a bound, and within a time.
//!
//! Exact numbers of large views cost a look at each ticket and tell nobody anything; a view of 1000 is too long already.

use futures::{StreamExt as _, TryStreamExt as _};
use solmu_db::DbError;
use solmu_proto::ticket::v1 as proto;
use solmu_runtime::{ApiError, access::Caller};
use sqlx::{Postgres, QueryBuilder};

use crate::{
    context::Context,
    search::{Selection, Written},
};

/// Counted so far.
const MOST: i32 = 1_000;
/// How long one count may take.
const TIMEOUT: &str = "1s";

/// Views that are counted at the same time: a page of slow ones must not take every connection of the pool.
const AT_ONCE: usize = 4;

/// Counts each of `views` for the caller.
pub(super) async fn all(
    context: &Context,
    views: &mut [proto::SavedView],
    caller: &Caller,
) -> Result<(), ApiError> {
    let counting = views.iter().map(|view| of(context, view, caller));
    // Collected first: a stream over borrowed views is no `Send` future for the compiler.
    let counting: Vec<_> = counting.collect();
    let counts: Vec<proto::ViewCount> = futures::stream::iter(counting)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    for (view, count) in views.iter_mut().zip(counts) {
        view.count = Some(count);
    }
    Ok(())
}

async fn of(
    context: &Context,
    view: &proto::SavedView,
    caller: &Caller,
) -> Result<proto::ViewCount, ApiError> {
    let written = Written {
        filter: &view.filter,
        time_zone: &view.time_zone,
        caller: Some(caller),
    };
    match Selection::read(context, written).await {
        Ok(selection) => one(context, &selection).await,
        // A field that is gone, or `me` for a caller who is nobody.
        Err(ApiError::InvalidArgument { .. }) => Ok(UNKNOWN),
        Err(error) => Err(error),
    }
}

const UNKNOWN: proto::ViewCount = proto::ViewCount {
    tickets: 0,
    more: false,
    unknown: true,
};

async fn one(context: &Context, selection: &Selection) -> Result<proto::ViewCount, ApiError> {
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new("SELECT count(*) FROM (SELECT 1 FROM tickets.ticket WHERE ");
    selection.push(&mut query)?;
    query
        .push(" LIMIT ")
        .push_bind(i64::from(MOST) + 1)
        .push(") AS counted");
    match counted(context, query).await {
        Ok(found) => Ok(proto::ViewCount {
            tickets: i32::try_from(found).unwrap_or(MOST).min(MOST),
            more: found > i64::from(MOST),
            unknown: false,
        }),
        Err(error) if error.is_timed_out() => Ok(UNKNOWN),
        Err(error) => Err(error.into()),
    }
}

async fn counted(context: &Context, mut query: QueryBuilder<Postgres>) -> Result<i64, DbError> {
    let mut tx = context.db.reads().begin().await?;
    sqlx::query("SELECT set_config('statement_timeout', $1, true)")
        .bind(TIMEOUT)
        .execute(&mut *tx)
        .await?;
    let found = query
        .build_query_scalar()
        .persistent(false)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(found)
}
