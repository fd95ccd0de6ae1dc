//! The `solmu` binary: one program for every role, and the commands to operate it.
#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use clap::Parser;

mod arguments;
mod assemble;
mod backup;
mod config;
mod dead;
mod doctor;
mod engines;
mod first_start;
mod import;
mod operate;
mod out;
mod reach;
mod serve;

use arguments::{Arguments, Task};

fn main() -> ExitCode {
    // Before anything else: as the hidden subcommand this process becomes an engine and never returns.
    solmu_engines::run_child_if_asked();
    let arguments = Arguments::parse();
    // One TLS provider for the whole process; a second one anywhere would make rustls panic at the first handshake.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        out::warn("error: another TLS provider was installed before ours");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            out::warn(format_args!(
                "error: cannot start the async runtime: {error}"
            ));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(arguments)) {
        Ok(code) => code,
        Err(error) if out::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            out::warn(format_args!("error: {}", reach::shown(&error)));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments {
        config,
        connect,
        task,
    } = arguments;
    let done = match task {
        Task::Serve(flags) => {
            return Box::pin(serve::serve(&connect.data, config.as_deref(), flags)).await;
        }
        Task::Migrate(target) => operate::migrate(&connect.data, config.as_deref(), &target).await,
        Task::Streams {
            task: arguments::StreamsTask::Apply(target),
        } => operate::streams_apply(&connect.data, config.as_deref(), &target).await,
        Task::Streams {
            task: arguments::StreamsTask::Rewind(target),
        } => operate::streams_rewind(&connect.data, config.as_deref(), &target).await,
        Task::Dump { file } => backup::dump(&connect.data, config.as_deref(), file).await,
        Task::Restore { file } => {
            Box::pin(backup::restore(&connect.data, config.as_deref(), file)).await
        }
        Task::FirstToken { target, again } => {
            operate::first_token(&connect.data, config.as_deref(), &target, again).await
        }
        Task::Config { task } => operate::config(&connect.data, config.as_deref(), task),
        Task::Api { task } => operate::api(&task).map_err(Into::into),
        Task::Dead { target, task } => {
            dead::run(
                &connect.data,
                config.as_deref(),
                &target,
                task,
                connect.json,
            )
            .await
        }
        Task::Doctor {
            target,
            nats_monitoring,
        } => {
            let well = doctor::run(
                &connect.data,
                config.as_deref(),
                &target,
                &nats_monitoring,
                connect.json,
            );
            return Ok(if Box::pin(well).await? {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Task::Import(flags) => Box::pin(import::run(&connect.data, config.as_deref(), flags)).await,
        Task::Sla {
            task: arguments::SlaTask::Eval,
        } => operate::sla_eval(),
        Task::Sla {
            task: arguments::SlaTask::Client(command),
        } => solmu_cli::run_sla(command, connect).await,
        Task::Bench(command) => Box::pin(solmu_bench::run(command, connect)).await,
        Task::Desk(command) => Box::pin(solmu_deskcli::run(command, connect)).await,
        Task::Client(command) => Box::pin(solmu_cli::run(command, connect)).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}
