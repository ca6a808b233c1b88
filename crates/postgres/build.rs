//! Rebuilds the crate when a migration is added: `sqlx::migrate!` notices only changes of files it knows.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
