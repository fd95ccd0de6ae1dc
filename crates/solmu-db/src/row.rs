//! Rows as structs.

/// Reads a struct from a row by the names of its fields: `from_row!(Person { id, name })`. All fields are named, so the
/// compiler finds one that is missing. A macro of our own and not sqlx's derive, which makes every build compile the
/// database driver and its cryptography a second time, for the build machine.
#[macro_export]
macro_rules! from_row {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl<'r> ::sqlx::FromRow<'r, ::sqlx::postgres::PgRow> for $name {
            fn from_row(row: &'r ::sqlx::postgres::PgRow) -> ::std::result::Result<Self, ::sqlx::Error> {
                use ::sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?,)* })
            }
        }
    };
}
