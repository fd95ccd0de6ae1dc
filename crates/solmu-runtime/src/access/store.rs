//! The rows of `access.token`.

use jiff::Timestamp;
use solmu_db::{Db, DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::{clock::Clock, ids::AgentId, rng::Rng};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, types::Uuid};

use super::{Caller, NewToken, Role, Scopes};
use crate::api_error::ApiError;

/// The channel that carries the ids of tokens that changed.
pub(super) const CHANNEL: &str = "access_token";

/// What a call needs to know of a token.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) caller: Caller,
    pub(super) hash: Vec<u8>,
    pub(super) expire_time: Option<Timestamp>,
}

/// A token without its secret.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) caller: Caller,
    pub(super) display_name: String,
    pub(super) create_time: Timestamp,
    pub(super) revoke_time: Option<Timestamp>,
    pub(super) expire_time: Option<Timestamp>,
}

type Columns = (
    String,
    String,
    String,
    Option<Uuid>,
    Vec<u8>,
    SqlTimestamp,
    Option<SqlTimestamp>,
    Option<SqlTimestamp>,
    Vec<String>,
    bool,
);

struct TokenRow {
    id: String,
    display_name: String,
    role: String,
    agent_id: Option<Uuid>,
    hash: Vec<u8>,
    create_time: SqlTimestamp,
    revoke_time: Option<SqlTimestamp>,
    expire_time: Option<SqlTimestamp>,
    scopes: Vec<String>,
    all_teams: bool,
}

const COLUMNS: &str = "id, display_name, role, agent_id, hash, create_time, revoke_time, \
    expire_time, scopes, all_teams";

impl From<Columns> for TokenRow {
    fn from(row: Columns) -> Self {
        let (id, display_name, role, agent_id, hash, create_time, revoke_time, expire_time, ..) =
            row;
        Self {
            id,
            display_name,
            role,
            agent_id,
            hash,
            create_time,
            revoke_time,
            expire_time,
            scopes: row.8,
            all_teams: row.9,
        }
    }
}

impl TokenRow {
    fn caller(&self) -> Result<Caller, DbError> {
        // The table's check allows these three only, so this is a newer release's row.
        let role: Role = self
            .role
            .parse()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let agent_id = self.agent_id.map(AgentId::from_uuid);
        let mut caller = Caller::new(&self.id, role, agent_id);
        caller.scopes = Scopes::of_names(&self.scopes);
        caller.all_teams = self.all_teams;
        caller.expire_time = self.expire_time.map(SqlTimestamp::to_jiff);
        Ok(caller)
    }
}

/// A token that is not revoked. One that has expired is still found, so that its owner hears why it is refused.
pub(super) async fn token_fetch(pool: &PgPool, id: &str) -> Result<Option<Known>, DbError> {
    let query = format!("SELECT {COLUMNS} FROM access.token WHERE id = $1 AND revoke_time IS NULL");
    let row: Option<Columns> = sqlx::query_as(AssertSqlSafe(query))
        .bind(id)
        .fetch_optional(pool)
        .await?;
    row.map(TokenRow::from)
        .map(|row| {
            Ok(Known {
                caller: row.caller()?,
                hash: row.hash,
                expire_time: row.expire_time.map(SqlTimestamp::to_jiff),
            })
        })
        .transpose()
}

/// All tokens, oldest first.
pub(super) async fn token_list(pool: &PgPool) -> Result<Vec<Token>, DbError> {
    let query = format!("SELECT {COLUMNS} FROM access.token ORDER BY create_time, id");
    let rows: Vec<Columns> = sqlx::query_as(AssertSqlSafe(query)).fetch_all(pool).await?;
    let tokens = rows.into_iter().map(TokenRow::from).map(|row| {
        Ok(Token {
            caller: row.caller()?,
            display_name: row.display_name,
            create_time: row.create_time.to_jiff(),
            revoke_time: row.revoke_time.map(SqlTimestamp::to_jiff),
            expire_time: row.expire_time.map(SqlTimestamp::to_jiff),
        })
    });
    tokens.collect()
}

/// Tokens that work at `now` and will not any more at `until`.
pub(super) async fn token_count_expiring(
    pool: &PgPool,
    now: Timestamp,
    until: Timestamp,
) -> Result<i64, DbError> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM access.token
         WHERE revoke_time IS NULL AND expire_time > $1 AND expire_time <= $2",
    );
    Ok(count
        .bind(now.to_sqlx())
        .bind(until.to_sqlx())
        .fetch_one(pool)
        .await?)
}

/// When the next of the tokens that work now expires.
pub(super) async fn token_next_expiry(
    pool: &PgPool,
    now: Timestamp,
) -> Result<Option<Timestamp>, DbError> {
    let next: Option<SqlTimestamp> = sqlx::query_scalar(
        "SELECT min(expire_time) FROM access.token WHERE revoke_time IS NULL AND expire_time > $1",
    )
    .bind(now.to_sqlx())
    .fetch_one(pool)
    .await?;
    Ok(next.map(SqlTimestamp::to_jiff))
}

/// Who makes a token.
#[derive(Debug, Clone, Default)]
pub(super) struct MadeBy {
    /// The id of their own token; empty for nobody who called.
    pub(super) maker: String,
    /// Under which they make one.
    pub(super) request_id: Option<String>,
}

/// Stores a new token. Under a request id that its maker used before: the id of the token that was made then.
pub(super) async fn token_insert(
    tx: &mut PgConnection,
    new: &NewToken,
    (display_name, by): (&str, &MadeBy),
    now: Timestamp,
) -> Result<Option<String>, DbError> {
    let made = sqlx::query(
        "INSERT INTO access.token
             (id, display_name, role, agent_id, hash, create_time, expire_time, scopes, all_teams, created_by, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (created_by, request_id) WHERE request_id IS NOT NULL DO NOTHING",
    )
    .bind(&new.caller.token_id)
    .bind(display_name)
    .bind(new.caller.role.as_str())
    .bind(new.caller.agent_id.map(AgentId::as_uuid))
    .bind(new.hash.as_slice())
    .bind(now.to_sqlx())
    .bind(new.expire_time.map(solmu_db::ToSqlx::to_sqlx))
    .bind(new.caller.scopes.names())
    .bind(new.caller.all_teams)
    .bind(&by.maker)
    .bind(&by.request_id)
    .execute(&mut *tx)
    .await?;
    if made.rows_affected() == 1 {
        return Ok(None);
    }
    let known: Option<String> =
        sqlx::query_scalar("SELECT id FROM access.token WHERE created_by = $1 AND request_id = $2")
            .bind(&by.maker)
            .bind(&by.request_id)
            .fetch_optional(tx)
            .await?;
    known.map(Some).ok_or(DbError::Race)
}

/// Revokes a token and tells every process. A second call changes nothing. The last admin token that does not expire
/// stays: without it nobody could make another.
pub(super) async fn token_revoke(
    tx: &mut PgConnection,
    id: &str,
    now: Timestamp,
) -> Result<(), ApiError> {
    admin_lock(tx).await?;
    let row: Option<(bool, bool)> = sqlx::query_as(
        "SELECT role = 'admin' AND expire_time IS NULL, revoke_time IS NOT NULL
         FROM access.token WHERE id = $1 FOR UPDATE",
    )
    .bind(id)
    .fetch_optional(&mut *tx)
    .await
    .map_err(DbError::from)?;
    match row {
        None => return Err(ApiError::not_found("token", id)),
        Some((_, true)) => return Ok(()),
        Some((true, false)) if lasting_admin_count(tx).await? < 2 => {
            return Err(ApiError::FailedPrecondition {
                reason: "LAST_ADMIN_TOKEN",
                message: "the last admin token cannot be revoked: make another one first"
                    .to_owned(),
            });
        }
        Some((_, false)) => {}
    }
    sqlx::query("UPDATE access.token SET revoke_time = $2 WHERE id = $1")
        .bind(id)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await
        .map_err(DbError::from)?;
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(id)
        .execute(tx)
        .await
        .map_err(DbError::from)?;
    Ok(())
}

/// Makes the first admin token, once, however many processes start at the same time. `None` when there is one.
pub async fn bootstrap(
    db: &Db,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<Option<NewToken>, DbError> {
    let new = NewToken::generate(Role::Admin, None, rng);
    let now = clock.now();
    let made: bool = db
        .tx("access.bootstrap", |tx| {
            let new = new.clone();
            Box::pin(async move {
                admin_lock(tx).await?;
                if lasting_admin_count(tx).await? > 0 {
                    return Ok::<_, DbError>(false);
                }
                token_insert(tx, &new, ("first admin", &MadeBy::default()), now).await?;
                Ok(true)
            })
        })
        .await?;
    Ok(made.then_some(new))
}

/// Makes a token for somebody who sets up a system without the API: the first agent, or a role of the same process.
pub async fn issue(
    db: &Db,
    clock: &dyn Clock,
    rng: &dyn Rng,
    role: Role,
    agent: Option<AgentId>,
    display_name: &str,
) -> Result<NewToken, DbError> {
    let new = NewToken::generate(role, agent, rng);
    let now = clock.now();
    db.tx("access.issue", |tx| {
        let (new, display_name) = (new.clone(), display_name.to_owned());
        Box::pin(async move {
            let by = MadeBy::default();
            token_insert(tx, &new, (&display_name, &by), now)
                .await
                .map(drop)
        })
    })
    .await?;
    Ok(new)
}

/// Lets one transaction at a time decide about admin tokens.
async fn admin_lock(tx: &mut PgConnection) -> Result<(), DbError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('access.token.admin'))")
        .execute(tx)
        .await?;
    Ok(())
}

/// Admin tokens that will go on working.
async fn lasting_admin_count(tx: &mut PgConnection) -> Result<i64, DbError> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM access.token
         WHERE role = 'admin' AND revoke_time IS NULL AND expire_time IS NULL",
    );
    Ok(count.fetch_one(tx).await?)
}
