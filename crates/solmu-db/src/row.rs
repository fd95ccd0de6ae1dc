//! Rows as structs.

use sqlx::{Column as _, Decode, Postgres, Row as _, Type, postgres::PgRow};

/// Reads a struct from a row by the names of its fields: `from_row!(Person { id, name })`. All fields are named, so the
/// compiler finds one that is missing. A macro of our own and not sqlx's derive, which makes every build compile the
/// database driver and its cryptography a second time, for the build machine.
#[macro_export]
macro_rules! from_row {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl<'r> ::sqlx::FromRow<'r, ::sqlx::postgres::PgRow> for $name {
            fn from_row(row: &'r ::sqlx::postgres::PgRow) -> ::std::result::Result<Self, ::sqlx::Error> {
                let mut place = 0;
                Ok(Self { $($field: $crate::named(row, &mut place, stringify!($field))?,)* })
            }
        }
    };
}

/// The column `name`, which is mostly at `place`: comparing one name costs less than looking it up among forty, for each
/// field of each row of a page. For [`from_row!`].
///
/// Errors: as those of [`sqlx::Row::try_get`].
#[doc(hidden)]
pub fn named<'r, T>(row: &'r PgRow, place: &mut usize, name: &str) -> Result<T, sqlx::Error>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    let here = *place;
    *place += 1;
    match row.columns().get(here) {
        Some(column) if column.name() == name => row.try_get(here),
        _ => row.try_get(name),
    }
}
