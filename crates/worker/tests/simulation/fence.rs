//! Whose result must not count: a worker whose lease has run out, or who claimed in an earlier life of the queue. What the
//! ledger says of the job is the same before and after such a worker moves.

use sincro_core::{drill::Point, job::JobId};
use sqlx::Row as _;

use crate::{
    broken::{Kept, keep, refused},
    stage::Unit,
    world::{Kind, Task, World},
};

/// What the ledger says of a job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    job: JobId,
    state: String,
    attempts: i32,
    steps_done: i32,
    fetched: i32,
}

impl World<'_> {
    /// What is known of the jobs among these whose results come too late.
    pub(crate) async fn late_rows(&self, units: &[Unit]) -> Kept<Vec<Row>> {
        let mut rows = Vec::new();
        for task in units.iter().filter_map(|unit| self.tasks.get(unit)) {
            let Kind::Job { claim, .. } = &task.kind else { continue };
            // Later the result is in the ledger already, or there is none.
            let undecided =
                matches!(task.at, None | Some(Point::Claimed | Point::Calling | Point::Called | Point::Judged));
            if claim.probe || !undecided {
                continue;
            }
            let life = "SELECT max(epoch) FROM queue_epochs";
            let life: Option<i64> = sqlx::query_scalar(life).fetch_one(&self.place.sql).await.map_err(refused)?;
            let Some(row) = self.row_of(claim.job).await? else { continue };
            let too_late = match task.at {
                Some(Point::Called) => !claim.holds_lease(),
                // From here on the ledger alone can tell.
                Some(Point::Judged) => {
                    row.attempts >= claim.attempt || task.seen.is_some_and(|seen| seen != row.steps_done)
                }
                _ => false,
            };
            if (too_late || life != Some(claim.epoch)) && self.alone_at(claim.job, units) {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// Whether no second claim of the job moves as well.
    fn alone_at(&self, job: JobId, units: &[Unit]) -> bool {
        let same = |task: &&Task| matches!(&task.kind, Kind::Job { claim, .. } if claim.job == job);
        units.iter().filter_map(|unit| self.tasks.get(unit)).filter(same).count() == 1
    }

    /// How far the job is that this task has just loaded.
    pub(crate) async fn steps_seen(&self, unit: Unit) -> Kept<Option<i32>> {
        match self.tasks.get(&unit).map(|task| &task.kind) {
            Some(Kind::Job { claim, .. }) if !claim.probe => {
                Ok(self.row_of(claim.job).await?.map(|row| row.steps_done))
            }
            _ => Ok(None),
        }
    }

    /// Nothing was written for them.
    pub(crate) async fn check_unchanged(&self, rows: &[Row]) -> Kept {
        for row in rows {
            let now = self.row_of(row.job).await?;
            keep("late_results_change_nothing", now.as_ref() == Some(row), || format!("{row:?} became {now:?}"))?;
        }
        Ok(())
    }

    async fn row_of(&self, job: JobId) -> Kept<Option<Row>> {
        let query = "SELECT state, attempts, steps_done, fetched FROM jobs WHERE id = $1";
        let row = sqlx::query(query).bind(job).fetch_optional(&self.place.sql).await.map_err(refused)?;
        Ok(row.map(|row| Row {
            job,
            state: row.get(0),
            attempts: row.get(1),
            steps_done: row.get(2),
            fetched: row.get(3),
        }))
    }
}
