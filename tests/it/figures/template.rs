//! The deployment's alarms: they read figures that are told, and watch every task that runs by itself.

use std::collections::BTreeSet;

use shared::engine::Tasks;
use tests::world::config;

const TEMPLATE: &str = include_str!("../../../template.yaml");

/// Where the names of metrics stand, and where they are counted in the logs instead.
const TOLD: &str = include_str!("../../../shared/src/engine/figures.rs");
const FROM_LOGS: [&str; 1] = ["UnknownCodes"];

/// Figures that AWS tells of its own services.
const OF_AWS: [&str; 4] = ["5xx", "ApproximateNumberOfMessagesVisible", "CPUUtilization", "FreeStorageSpace"];

#[test]
fn every_metric_that_is_watched_or_drawn_is_told() {
    let watched = TEMPLATE.lines().filter_map(|line| line.trim().strip_prefix("MetricName: "));
    let drawn = TEMPLATE.split(r#"["ConversionRelay/${AWS::StackName}", ""#).skip(1);
    let drawn = drawn.filter_map(|rest| rest.split('"').next());

    let names: BTreeSet<&str> = watched.chain(drawn).collect();

    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let elsewhere = FROM_LOGS.contains(&name) || OF_AWS.contains(&name);
        assert!(elsewhere || TOLD.contains(&format!("\"{name}\"")), "nobody tells {name}");
    }
}

#[test]
fn every_task_that_runs_by_itself_has_a_dead_man() {
    let registry = shared::boot::registry(&config([]).providers().expect("the defaults")).expect("a client");

    for task in Tasks::of(&registry).scheduled() {
        let dimension = format!("{{Name: Task, Value: '{}'}}", task.descriptor.key);
        assert!(
            TEMPLATE.contains(&dimension),
            "template.yaml: no alarm on RunsDone of {}",
            task.descriptor.key
        );
    }
}

#[test]
fn every_alarm_tells_its_beginning_and_its_end() {
    let alarms = TEMPLATE.matches("Type: AWS::CloudWatch::Alarm").count();

    for action in ["AlarmActions: !If [HasAlarmTopic,", "OKActions: !If [HasAlarmTopic,"] {
        assert_eq!(TEMPLATE.matches(action).count(), alarms, "{action}");
    }
}
