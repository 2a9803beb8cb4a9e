"""What Dagster runs on this site: one job that is never done, started whenever none is in flight and story 1.5's flag is on."""

import time

import yaml
from dagster import (
    DagsterRunStatus,
    DefaultSensorStatus,
    Definitions,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    SkipReason,
    job,
    op,
    sensor,
)

FLAGS = "config/feature-flags.yaml"
IN_FLIGHT = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


@op
def wait_for_orders():
    while True:
        time.sleep(1)


@job
def nightly():
    wait_for_orders()


def is_on():
    with open(FLAGS, encoding="utf-8") as file:
        return yaml.safe_load(file)["flags"]["dagster_orchestration"]["enabled"] is True


@sensor(job=nightly, minimum_interval_seconds=1, default_status=DefaultSensorStatus.RUNNING)
def orders_are_missing(context):
    if not is_on():
        return SkipReason("the flag is off")
    if context.instance.get_runs(filters=RunsFilter(statuses=IN_FLIGHT), limit=1):
        return SkipReason("a run is in flight")
    return RunRequest()


defs = Definitions(
    jobs=[nightly],
    sensors=[orders_are_missing],
    schedules=[ScheduleDefinition(job=nightly, cron_schedule="0 2 * * *")],
)
