//! A logical copy of private data, and its restore: with the programs that came with the PostgreSQL that is in use.
//!
//! Given engines are dumped and restored with their own programs. Private ones run only while `solmu` does, and a
//! `solmu serve` fills a fresh database at once, so that nothing could be restored into it.

use std::{
    fs,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};

use crate::{
    arguments::Target,
    config::{self, Config},
    engines, out,
};

/// `solmu dump FILE`: beside a running `solmu serve`, or without one.
pub(crate) async fn dump(data: &Path, file: Option<&Path>, to: PathBuf) -> anyhow::Result<()> {
    let config = private(data, file)?;
    ensure!(
        !to.exists(),
        "'{}' is there already: name another file",
        to.display()
    );
    let url = engines::postgres(&config, data)?;
    let bin = engines::noted_postgres_bin(data)?;
    let part = begin(&to)?;
    let made = run(
        bin.join("pg_dump"),
        vec![
            "--format=custom".to_owned(),
            format!("--file={}", part.display()),
            format!("--dbname={url}"),
        ],
    )
    .await
    .context("no dump was made; `solmu serve` must be running on this data directory");
    if made.is_err() {
        // What is not whole would be taken for a backup.
        let _ = fs::remove_file(&part);
    }
    made?;
    finish(&part, &to).with_context(|| format!("cannot write '{}'", to.display()))?;
    out::line(format_args!("dump: '{}'", to.display()))?;
    Ok(())
}

/// Makes the file that becomes `to` when all is in it. It will hold all that customers wrote: only its owner reads it.
fn begin(to: &Path) -> anyhow::Result<PathBuf> {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let made = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        // One that a killed run has left may belong to a time with other rights.
        .and_then(|file| file.set_permissions(fs::Permissions::from_mode(0o600)));
    made.with_context(|| format!("cannot make '{}'", part.display()))?;
    Ok(part)
}

fn finish(part: &Path, to: &Path) -> std::io::Result<()> {
    fs::File::open(part)?.sync_all()?;
    fs::rename(part, to)
}

/// `solmu restore FILE`: into a data directory without a database of its own yet.
pub(crate) async fn restore(data: &Path, file: Option<&Path>, from: PathBuf) -> anyhow::Result<()> {
    let config = private(data, file)?;
    ensure!(from.is_file(), "'{}' is no file", from.display());
    let (addresses, engines) = engines::start(&config, data).await?;
    let engines = engines.context("the engines are private, as was looked")?;
    // Not always where it was asked for: the engines say why.
    let root = engines.data_dir().to_owned();
    let restored = fill(&config, &addresses, &root, &from).await;
    tokio::task::spawn_blocking(move || engines.stop()).await??;
    restored
}

async fn fill(
    config: &Config,
    addresses: &engines::Addresses,
    data: &Path,
    from: &Path,
) -> anyhow::Result<()> {
    let db = solmu_db::Db::new(&addresses.postgres, &config.postgres.to_config())?;
    if solmu_db::migrate::current_version(&db).await? != 0 {
        bail!(
            "'{}' has data already: restore into an empty data directory, by --data",
            data.display()
        );
    }
    let bin = engines::noted_postgres_bin(data)?;
    run(
        bin.join("pg_restore"),
        vec![
            "--exit-on-error".to_owned(),
            // All or nothing: a half restored database would be taken for one that has data.
            "--single-transaction".to_owned(),
            "--no-owner".to_owned(),
            format!("--dbname={}", addresses.postgres),
            from.display().to_string(),
        ],
    )
    .await?;
    let dumped = solmu_db::migrate::current_version(&db).await?;
    ensure!(
        dumped != 0,
        "'{}' is no dump of Solmu's database: it has no schema",
        from.display()
    );
    solmu_db::migrate::migrate(&db).await?;
    let now = solmu_db::migrate::current_version(&db).await?;
    out::line(format_args!("restored: schema version {dumped} -> {now}"))?;
    db.close().await;
    Ok(())
}

/// The configuration, if its engines are private.
fn private(data: &Path, file: Option<&Path>) -> anyhow::Result<Config> {
    let config = config::read(data, file, &Target::default(), &[])?;
    ensure!(
        config.postgres.url.expose().is_empty(),
        "this is for private data: dump and restore a PostgreSQL of your own with its own programs (docs/operations.md)"
    );
    Ok(config)
}

async fn run(program: PathBuf, arguments: Vec<String>) -> anyhow::Result<()> {
    let name = program.display().to_string();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(arguments)
            // PGPORT, PGHOSTADDR and the like of a shell would lead to another database.
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
    })
    .await?
    .with_context(|| format!("cannot run '{name}', which comes with PostgreSQL"))?;
    ensure!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_private_and_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("solmu.dump");
        let leftover = folder.path().join("solmu.dump.part");
        fs::write(&leftover, "of a killed run").unwrap();
        let part = begin(&to).unwrap();
        assert_eq!(part, leftover);
        let about = fs::metadata(&part).unwrap();
        assert_eq!(
            (about.len(), about.permissions().mode() & 0o777),
            (0, 0o600)
        );
        assert!(!to.exists());
        fs::write(&part, "all").unwrap();
        finish(&part, &to).unwrap();
        assert!(!part.exists());
        assert_eq!(fs::read_to_string(&to).unwrap(), "all");
    }
}
