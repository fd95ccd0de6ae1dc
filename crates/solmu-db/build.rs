//! Builds the crate again when a migration changes: `sqlx::migrate!` reads the folder, which cargo does not see.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
