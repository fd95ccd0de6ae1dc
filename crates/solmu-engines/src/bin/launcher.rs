//! The engines without the product, for development and tests: `solmu-engine-launcher DIR [POSTGRES_BIN [NATS_BIN]]`
//! runs both in DIR, prints their URLs and stops them when standard input ends. It is also the launcher of test
//! binaries, which have no `main` of ours.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use solmu_engines::{EngineConfig, Engines, run_child_if_asked};

fn main() -> ExitCode {
    run_child_if_asked();
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(data_dir) = arguments.next() else {
        eprintln!("usage: solmu-engine-launcher DIR [POSTGRES_BIN [NATS_BIN]]");
        return ExitCode::from(2);
    };
    let config = EngineConfig {
        postgres_bin: arguments.next(),
        nats_bin: arguments.next(),
        ..EngineConfig::new(data_dir)
    };
    match serve(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut error: &dyn std::error::Error = &*error;
            eprint!("error: {error}");
            while let Some(source) = error.source() {
                eprint!(": {source}");
                error = source;
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn serve(config: &EngineConfig) -> Result<(), Box<dyn std::error::Error>> {
    let engines = Engines::start(config, &|line| eprintln!("{line}"))?;
    let pid = |health: solmu_engines::EngineHealth| health.pid.unwrap_or_default();
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "postgres {} {}",
        pid(engines.postgres_health()),
        engines.postgres_url()
    )?;
    writeln!(
        out,
        "nats {} {}",
        pid(engines.nats_health()),
        engines.nats_url()
    )?;
    out.flush()?;
    drop(out);
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    engines.stop()?;
    Ok(())
}
