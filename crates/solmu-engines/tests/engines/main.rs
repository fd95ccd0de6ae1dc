//! The real engines, found and started as a user's are. Run `make tools` first where the machine has none.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::geteuid};
use solmu_engines::{Durability, EngineConfig, EngineError, EngineState, Engines};

use crate::support::{
    Product, Zombie, assert_serving, config, has_ended, nats_answers, query, script, signal,
    socket, start, wait_for,
};

#[test]
fn starts_serves_stops_and_starts_again_quickly() {
    let folder = tempfile::tempdir().unwrap();
    let config = EngineConfig {
        durability: Durability::Synced,
        ..config(&folder.path().join("data"))
    };
    let engines = start(&config);
    assert_serving(&engines);
    let (postgres_url, nats_url) = (engines.postgres_url(), engines.nats_url());
    assert!(
        query(&postgres_url, "create table kept (id int)")
            .unwrap()
            .contains("CREATE TABLE")
    );
    assert!(query(&postgres_url, "show fsync").unwrap().contains("on"));
    assert_eq!(engines.notice(), None);
    let pids = [
        engines.postgres_health().pid.unwrap(),
        engines.nats_health().pid.unwrap(),
    ];
    engines.stop().unwrap();
    assert!(pids.into_iter().all(has_ended));

    let begin = Instant::now();
    let engines = start(&config);
    let took = begin.elapsed();
    assert_eq!(
        (engines.postgres_url(), engines.nats_url()),
        (postgres_url, nats_url)
    );
    assert!(
        query(&engines.postgres_url(), "select count(*) from kept")
            .unwrap()
            .contains("SELECT 1")
    );
    // Measured below 0.2 s; the rest is for a busy machine.
    assert!(took < Duration::from_secs(20), "second start took {took:?}");
    for log in ["postgres.log", "nats.log"] {
        assert!(engines.data_dir().join("logs").join(log).is_file());
    }
}

#[test]
fn a_killed_engine_is_started_again_under_the_same_address() {
    let folder = tempfile::tempdir().unwrap();
    let engines = start(&config(folder.path()));
    let before = (engines.postgres_url(), engines.nats_url());
    let (postgres, nats) = (
        engines.postgres_health().pid.unwrap(),
        engines.nats_health().pid.unwrap(),
    );
    signal(postgres, Signal::SIGKILL);
    signal(nats, Signal::SIGKILL);
    wait_for("both restarts", || {
        let healths = [engines.postgres_health(), engines.nats_health()];
        healths
            .iter()
            .all(|health| health.restarts == 1 && health.state == EngineState::Ready)
    });
    assert_ne!(engines.postgres_health().pid, Some(postgres));
    assert_ne!(engines.nats_health().pid, Some(nats));
    assert!(
        engines
            .postgres_health()
            .last_failure
            .unwrap()
            .contains('9')
    );
    assert_eq!((engines.postgres_url(), engines.nats_url()), before);
    assert_serving(&engines);
    engines.stop().unwrap();
}

#[test]
fn a_second_start_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let engines = start(&config);
    match Engines::start(&config, &|_| {}) {
        Err(EngineError::Locked { holder, .. }) => assert_eq!(holder, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    assert_serving(&engines);
    engines.stop().unwrap();
    start(&config).stop().unwrap();
}

#[test]
fn leftovers_of_a_crash_are_cleared_also_when_they_name_a_zombie() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let engines = start(&config);
    let cluster = engines.data_dir().join("postgres");
    let lock = socket(&engines.postgres_url()).with_file_name(".s.PGSQL.5432.lock");
    let (pid_file, socket_lock) = (
        fs::read_to_string(cluster.join("postmaster.pid")).unwrap(),
        fs::read_to_string(&lock).unwrap(),
    );
    assert!(pid_file.contains("ready"));
    engines.stop().unwrap();

    let zombie = Zombie::new();
    let with_zombie = |text: &str| {
        let rest = text.split_once('\n').unwrap().1;
        format!("{}\n{rest}", zombie.0.id())
    };
    fs::write(cluster.join("postmaster.pid"), with_zombie(&pid_file)).unwrap();
    fs::write(&lock, with_zombie(&socket_lock)).unwrap();
    // Half a cluster of a killed first start, and a pid file of a bus whose id now belongs to somebody else: to us.
    fs::create_dir(folder.path().join("postgres.new-1234")).unwrap();
    fs::write(
        folder.path().join("nats/nats.pid"),
        std::process::id().to_string(),
    )
    .unwrap();
    let engines = start(&config);
    assert_serving(&engines);
    engines.stop().unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn no_engine_outlives_a_killed_product() {
    let folder = tempfile::tempdir().unwrap();
    let mut product = Product::start(folder.path());
    assert!(nats_answers(&product.nats.1).unwrap());
    product.kill();
    wait_for("the end of both engines", || {
        has_ended(product.postgres.0) && has_ended(product.nats.0)
    });
    let again = Product::start(folder.path());
    assert_eq!(
        (&again.postgres.1, &again.nats.1),
        (&product.postgres.1, &product.nats.1)
    );
}

#[test]
#[cfg(target_os = "linux")]
fn an_engine_that_does_outlive_it_is_stopped_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut product = Product::start(folder.path());
    // Stopped processes do not act on the death signal yet.
    signal(product.postgres.0, Signal::SIGSTOP);
    signal(product.nats.0, Signal::SIGSTOP);
    product.kill();
    assert!(!has_ended(product.postgres.0) && !has_ended(product.nats.0));
    let engines = start(&config(folder.path()));
    assert!(has_ended(product.postgres.0) && has_ended(product.nats.0));
    assert_eq!(engines.nats_url(), product.nats.1);
    assert_serving(&engines);
}

#[test]
fn root_becomes_somebody_without_rights() {
    if !geteuid().is_root() {
        eprintln!("not run: only root has rights to give up");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let engines = start(&config(folder.path()));
    for health in [engines.postgres_health(), engines.nats_health()] {
        let status = fs::read_to_string(format!("/proc/{}/status", health.pid.unwrap())).unwrap();
        let line = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap()
                .trim()
                .to_owned()
        };
        assert!(
            !line("Uid:").split_whitespace().any(|uid| uid == "0"),
            "{status}"
        );
        assert!(
            !line("Gid:").split_whitespace().any(|gid| gid == "0"),
            "{status}"
        );
        assert!(
            line("Groups:").split_whitespace().all(|group| group != "0"),
            "{status}"
        );
    }
    let mode = |name: &str| {
        fs::metadata(engines.data_dir().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (
            mode("run"),
            mode("postgres"),
            mode("nats"),
            mode("nats/nats.conf"),
            mode("nats.notes")
        ),
        (0o700, 0o700, 0o700, 0o600, 0o600)
    );
    assert_ne!(
        fs::metadata(engines.data_dir().join("postgres"))
            .unwrap()
            .uid(),
        0
    );
    engines.stop().unwrap();
}

#[test]
fn root_leaves_data_of_a_user_to_the_user() {
    if !geteuid().is_root() {
        eprintln!("not run: only root can take files away");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let engines = start(&config(&data));
    let user = fs::metadata(data.join("postgres")).unwrap().uid();
    engines.stop().unwrap();
    // As after runs of an ordinary user, whose notes and logs are gone.
    std::os::unix::fs::chown(&data, Some(user), None).unwrap();
    fs::remove_dir_all(data.join("logs")).unwrap();
    fs::remove_file(data.join("nats.notes")).unwrap();
    start(&config(&data)).stop().unwrap();
    for name in [
        "nats.notes",
        "logs",
        "logs/postgres.log",
        "logs/nats.log",
        "postgres",
        "nats/nats.conf",
    ] {
        assert_eq!(
            fs::metadata(data.join(name)).unwrap().uid(),
            user,
            "owner of {name}"
        );
    }
}

#[test]
fn root_moves_data_and_engines_out_of_folders_that_are_closed() {
    if !geteuid().is_root() {
        eprintln!("not run: only root runs the engines as somebody else");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (home, system_dir) = (folder.path().join("home"), folder.path().join("system"));
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    // A nats-server of root's own: a copy of the one that a first start finds.
    let first = start(&config(&folder.path().join("first")));
    let found = fs::read_link(format!("/proc/{}/exe", first.nats_health().pid.unwrap())).unwrap();
    first.stop().unwrap();
    fs::copy(found, home.join("nats-server")).unwrap();

    let asked = home.join("solmu-data");
    let config = EngineConfig {
        system_dir: system_dir.clone(),
        nats_bin: Some(home.clone()),
        ..config(&asked)
    };
    let engines = start(&config);
    assert_serving(&engines);
    let notice = engines.notice().unwrap();
    assert!(
        notice.contains(home.to_str().unwrap()) && notice.contains(system_dir.to_str().unwrap()),
        "{notice}"
    );
    assert!(
        engines
            .data_dir()
            .starts_with(system_dir.canonicalize().unwrap())
    );
    assert!(!asked.exists());
    let exe = fs::read_link(format!("/proc/{}/exe", engines.nats_health().pid.unwrap())).unwrap();
    assert!(
        exe.starts_with(system_dir.canonicalize().unwrap()),
        "{}",
        exe.display()
    );
    engines.stop().unwrap();
}

#[test]
fn binaries_that_are_too_old_fall_through_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old");
    script(&old.join("postgres"), "echo 'postgres (PostgreSQL) 14.2'");
    script(&old.join("nats-server"), "echo 'nats-server: v2.9.10'");
    let config = EngineConfig {
        postgres_bin: Some(old.join("postgres")),
        nats_bin: Some(old.join("nats-server")),
        ..config(&folder.path().join("data"))
    };
    let engines = start(&config);
    assert_serving(&engines);
    engines.stop().unwrap();
}

#[test]
fn data_of_another_major_version_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = folder.path().join("postgres");
    fs::create_dir(&cluster).unwrap();
    fs::write(cluster.join("PG_VERSION"), "12\n").unwrap();
    let error = Engines::start(&config(folder.path()), &|_| {}).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, EngineError::MajorMismatch { data_major: 12, .. }),
        "{text}"
    );
    assert!(
        text.contains("pg_dump") && text.contains("pg_restore"),
        "{text}"
    );
}

#[test]
fn an_engine_that_cannot_start_shows_its_log_and_stops_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("bin/nats-server");
    script(
        &broken,
        "[ \"$1\" = --version ] && { echo 'nats-server: v2.15.1'; exit; }\necho 'no space left' >&2\nexit 3",
    );
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    let config = EngineConfig {
        nats_bin: Some(broken),
        ..config(&data)
    };
    let error = Engines::start(&config, &|_| {}).unwrap_err();
    assert!(matches!(error, EngineError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(!data.join("postgres/postmaster.pid").exists());
}

#[test]
fn a_path_too_long_for_a_socket_gets_a_short_folder() {
    let folder = tempfile::tempdir().unwrap();
    let engines = start(&config(
        &folder.path().join("d".repeat(60)).join("e e".repeat(20)),
    ));
    let run_dir = socket(&engines.postgres_url()).parent().unwrap().to_owned();
    assert!(!run_dir.starts_with(engines.data_dir()));
    assert_serving(&engines);
    engines.stop().unwrap();
    assert!(!run_dir.exists());
}
