//! The pure parts by themselves, with criterion: `./just bench-pure`, or `./just bench-pure claim` for those with that name.
//!
//! | module | what is timed |
//! |---|---|
//! | `schedule` | claims and settlements of the model of the queue, few channels and many, shallow and deep |
//! | `model` | what is claimed from |
//! | `rules` | limits, plans, spans |
//! | `forecast` | the virtual clock of `sincro plan` |
//! | `answers` | what a gateway answers, read |

mod answers;
mod forecast;
mod model;
mod rules;
mod schedule;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    schedule::time(&mut criterion);
    rules::time(&mut criterion);
    forecast::time(&mut criterion);
    answers::time(&mut criterion);
    criterion.final_summary();
}
