//! `solmu serve`: engines, schema, streams, roles, servers, and an orderly end.

use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use solmu_runtime::{
    Parts, RoleName, Runtime,
    access::Access,
    admin,
    config::Secret,
    doctor, health,
    lifecycle::{self, Outcome, Signals},
    server::{self, Bound},
    watch,
};

use crate::{
    arguments::ServeFlags,
    assemble::{self, Started},
    config::{self, Config},
    engines::{self, Addresses},
    first_start,
    first_start::FirstTokens,
    out,
};

/// How often a process that waits for its schema and streams looks again.
const LOOK: Duration = Duration::from_millis(500);
/// How long PostgreSQL may take to answer then.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long roles that can do without PostgreSQL wait for one that does not answer: it may be starting beside them.
const WITHOUT_POSTGRES: Duration = Duration::from_secs(5);

/// Runs the asked roles until a signal.
pub(crate) async fn serve(
    data: &Path,
    file: Option<&Path>,
    flags: ServeFlags,
) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let private = flags.target.postgres.is_none() && flags.target.nats.is_none() && file.is_none();
    out::tell(format_args!("Solmu {}", env!("CARGO_PKG_VERSION")));
    if private && first_start::write_config(data)? {
        out::tell(format_args!(
            "  first start: wrote {}",
            data.join(config::FILE).display()
        ));
    }
    let mut config = config::read(data, file, &flags.target, &flags.set)?;
    config::check(&config)?;
    let mut signals = Signals::listen()?;
    let telemetry = solmu_telemetry::init(&config.telemetry)?;
    let (addresses, engines) = engines::start(&config, data).await?;
    let runtime = assemble::runtime(&config, &addresses, data).await?;
    let wanted = if flags.services.is_empty() {
        RoleName::ALL.to_vec()
    } else {
        flags.services.clone()
    };

    let admin_address = admin::serve(&runtime, config.server.admin_address).await?;
    health::watch_engines(&runtime, needs(&wanted));
    watch::pool(&runtime);
    if engines.is_some() || flags.migrate {
        solmu_db::migrate::migrate(&runtime.db).await?;
        solmu_bus::streams::apply(&runtime.bus, usize::from(config.nats.replicas)).await?;
    } else if !wait_for_engines(&runtime, &addresses, needs(&wanted), &mut signals).await {
        return Ok(ExitCode::SUCCESS);
    }
    let tokens = if engines.is_some() || flags.migrate {
        first_start::bootstrap(&runtime, data).await?
    } else {
        FirstTokens::default()
    };
    introduce_router(&runtime, &mut config, data, &wanted).await?;
    introduce_sla(&runtime, &mut config, data, &wanted).await?;
    let access = Access::start_with(&runtime, &config.access);
    let started = assemble::roles(&runtime, &config, data, &wanted).await?;
    if wanted.contains(&RoleName::Tickets) {
        watch::bus(&runtime);
    }
    let smtp = started.smtp;
    let parts = with_access(started, &access);
    let bound = server::serve(&runtime, &config.server, &access, parts).await?;
    let api = match bound.grpc {
        Some(grpc) => {
            let router = solmu_gateway::router(grpc, config.server.api_max_bytes)?;
            server::serve_api(&runtime, &config.server, router).await?
        }
        None => None,
    };
    runtime.readiness.complete();
    let notice = engines
        .as_ref()
        .and_then(|engines| engines.notice().map(str::to_owned));
    banner(&Banner {
        bound,
        api,
        smtp,
        admin_address,
        tokens,
        notice,
        config: &config,
        data,
        took: begun.elapsed(),
    });

    let outcome = lifecycle::run(&runtime, &config.lifecycle, &mut signals).await;
    runtime.bus.drain().await;
    runtime.db.close().await;
    if let Some(engines) = engines {
        tokio::task::spawn_blocking(move || engines.stop()).await??;
    }
    telemetry.shutdown().await;
    Ok(match outcome {
        Outcome::Clean if runtime.shutdown.reason().is_none() => ExitCode::SUCCESS,
        Outcome::Clean | Outcome::TimedOut { .. } | Outcome::Forced => ExitCode::FAILURE,
    })
}

/// Without what these roles cannot answer. Email, social and forms hand what comes to the bus: senders are served while PostgreSQL is
/// away, and what came is filed later. All others read or write the database before they answer. Those with the API answer
/// from the database alone: their events wait in the outbox while NATS is away, and only watching a list stands still. Chat
/// needs both, because a visitor is told that a message has come when it is on the bus.
fn needs(wanted: &[RoleName]) -> health::Needs {
    let of = |role: &RoleName| match role {
        RoleName::Email | RoleName::Social | RoleName::Forms => (false, true),
        RoleName::Chat => (true, true),
        RoleName::Tickets | RoleName::Router | RoleName::Sla => (true, false),
    };
    let needs = wanted.iter().map(of);
    let (postgres, nats) = needs.fold((false, false), |all, one| (all.0 || one.0, all.1 || one.1));
    health::Needs { postgres, nats }
}

/// Waits until somebody has migrated the schema and applied the streams. False when the process is to stop.
///
/// Roles that only hand on what comes do not wait for a PostgreSQL that does not answer: a pod that is moved during its outage takes
/// mail like one that ran before. Where it answers and is not migrated they wait, because that is an installation in the making.
async fn wait_for_engines(
    runtime: &Runtime,
    addresses: &Addresses,
    needs: health::Needs,
    signals: &mut Signals,
) -> bool {
    let mut waits_for = String::new();
    let mut away_since: Option<Instant> = None;
    loop {
        let version = solmu_db::migrate::current_version(&runtime.db);
        let (schema, missing) = match tokio::time::timeout(PATIENCE, version).await {
            Ok(Ok(version)) if version >= solmu_db::migrate::needed_version() => {
                away_since = None;
                (true, "")
            }
            Ok(Ok(_)) => {
                away_since = None;
                (false, "waiting for the schema: run `solmu migrate`")
            }
            Ok(Err(_)) | Err(_) => {
                let since = *away_since.get_or_insert_with(Instant::now);
                let without = !needs.postgres && since.elapsed() >= WITHOUT_POSTGRES;
                (without, "waiting for postgres, which does not answer")
            }
        };
        let missing = if !schema {
            missing
        } else if solmu_bus::streams::all_present(&runtime.bus).await {
            if away_since.is_some() {
                tracing::warn!("starting without postgres: what comes waits on the bus");
            }
            return true;
        } else if runtime.bus.is_connected() {
            "waiting for the streams: run `solmu streams apply`"
        } else {
            "waiting for nats, which is not connected"
        };
        if waits_for != missing {
            missing.clone_into(&mut waits_for);
            runtime.readiness.waits_for(missing);
            tracing::info!(waits_for, "the roles wait for the engines");
            tokio::select! {
                _ = signals.next() => return false,
                () = say_what_is_unreachable(runtime, addresses) => {}
            }
        }
        tokio::select! {
            _ = signals.next() => return false,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// What `solmu doctor` would say of an engine that is away.
async fn say_what_is_unreachable(runtime: &Runtime, addresses: &Addresses) {
    let postgres = doctor::postgres_unreachable(&runtime.db).await;
    let nats = doctor::bus_unreachable(&addresses.nats).await;
    for finding in [postgres, nats].into_iter().flatten() {
        tracing::warn!(
            engine = finding.check,
            found = finding.found,
            advice = finding.advice,
            "an engine cannot be reached"
        );
    }
}

/// In one process the router asks the ticket service beside it for words and is asked for the roster, unless they are
/// told of others.
async fn introduce_router(
    runtime: &Runtime,
    config: &mut Config,
    data: &Path,
    wanted: &[RoleName],
) -> anyhow::Result<()> {
    let both = wanted.contains(&RoleName::Router) && wanted.contains(&RoleName::Tickets);
    let agent_mail = &mut config.tickets.agent_mail;
    let asks = config.router.tickets_endpoint.is_empty();
    let is_asked = agent_mail.roster_endpoint.is_empty();
    let access = &mut config.access;
    if access.roster_endpoint.is_empty() && (both || access.needs_roster()) {
        anyhow::ensure!(
            wanted.contains(&RoleName::Router),
            "access.roster_endpoint has to say where the router is: teams and sign-in are asked there"
        );
        access.roster_endpoint = format!("http://{}", config.server.grpc_address);
        access.roster_token = Secret::new(first_start::service_token(runtime, data).await?);
    }
    if both && (asks || is_asked) {
        let beside = format!("http://{}", config.server.grpc_address);
        let token = first_start::service_token(runtime, data).await?;
        if is_asked {
            agent_mail.roster_endpoint.clone_from(&beside);
            agent_mail.roster_token = Secret::new(token.clone());
        }
        if asks {
            config.router.tickets_endpoint = beside;
            config.router.tickets_token = Secret::new(token);
        }
    }
    Ok(())
}

/// In one process the SLA service asks the ticket service beside it about contacts, unless it is told of another.
async fn introduce_sla(
    runtime: &Runtime,
    config: &mut Config,
    data: &Path,
    wanted: &[RoleName],
) -> anyhow::Result<()> {
    let both = wanted.contains(&RoleName::Sla) && wanted.contains(&RoleName::Tickets);
    if both && config.sla.tickets_endpoint.is_empty() {
        config.sla.tickets_endpoint = format!("http://{}", config.server.grpc_address);
        let token = first_start::service_token(runtime, data).await?;
        config.sla.tickets_token = Secret::new(token);
    }
    Ok(())
}

fn with_access(started: Started, access: &Access) -> Parts {
    started.parts.merge(Parts {
        grpc: Some(access.routes()),
        http: None,
    })
}

struct Banner<'a> {
    bound: Bound,
    api: Option<std::net::SocketAddr>,
    smtp: Option<std::net::SocketAddr>,
    admin_address: std::net::SocketAddr,
    tokens: FirstTokens,
    notice: Option<String>,
    config: &'a Config,
    data: &'a Path,
    took: Duration,
}

/// Tells a person where everything is.
fn banner(it: &Banner<'_>) {
    out::tell(format_args!("Ready in {:.1} s", it.took.as_secs_f64()));
    if let Some(notice) = &it.notice {
        out::tell(format_args!("  note      {notice}"));
    }
    if let Some(smtp) = it.smtp {
        let addresses: Vec<&str> = it
            .config
            .email
            .accounts
            .iter()
            .flat_map(|account| &account.addresses)
            .map(String::as_str)
            .collect();
        out::tell(format_args!(
            "  e-mail    smtp://{smtp}  for {}",
            addresses.join(", ")
        ));
    }
    if let Some(http) = it.bound.http {
        out::tell(format_args!("  forms     http://{http}/forms/contact"));
        out::tell(format_args!(
            "  chat      http://{http}/chat/test?inbox=main"
        ));
        out::tell(format_args!(
            "  webhooks  http://{http}/webhooks/<whatsapp|telegram>/<account>"
        ));
    }
    if let Some(grpc) = it.bound.grpc {
        out::tell(format_args!(
            "  gRPC API  http://{grpc}  (reflection is on)"
        ));
    }
    if let Some(api) = it.api {
        out::tell(format_args!(
            "  JSON API  http://{api}/v1  (/v1/openapi.json describes it)"
        ));
    }
    out::tell(format_args!(
        "  ops       http://{}/metrics, /livez, /readyz",
        it.admin_address
    ));
    out::tell(format_args!("  data      {}", it.data.display()));
    if let (Some(admin), Some(agent)) = (&it.tokens.admin, &it.tokens.agent) {
        out::tell(format_args!(
            "First tokens, shown this once (kept in {} and {}, readable by you alone):",
            first_start::TOKEN,
            first_start::AGENT_TOKEN
        ));
        out::tell(format_args!("  admin     {admin}"));
        out::tell(format_args!("  agent     {agent}"));
    }
    out::tell("Try: solmu demo, or send a mail with your own client. Stop with Ctrl-C.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_without_what_its_roles_do_not_need() {
        let of = |roles: &[RoleName]| {
            let needs = needs(roles);
            (needs.postgres, needs.nats)
        };
        for role in [RoleName::Email, RoleName::Social, RoleName::Forms] {
            assert_eq!(of(&[role]), (false, true), "{role:?}");
        }
        for role in [RoleName::Tickets, RoleName::Router, RoleName::Sla] {
            assert_eq!(of(&[role]), (true, false), "{role:?}");
        }
        assert_eq!(of(&[RoleName::Chat]), (true, true));
        assert_eq!(of(&[RoleName::Tickets, RoleName::Email]), (true, true));
        assert_eq!(of(&RoleName::ALL), (true, true));
    }
}
