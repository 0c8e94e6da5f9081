//! How long the ledger may be silent, and how often it may refuse.

use std::time::Duration;

use sincro_store::Error;
use tokio::time::sleep;

/// Longer than the server lets any statement, lock or idle transaction last. Who has not answered by then will not: the machine is gone
/// and nobody has closed the connection.
const SILENCE: Duration = Duration::from_secs(90);

/// How often something is offered, and the pause that grows between.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// A round of a janitor asks many times; one that is cut off goes on with the next.
const LONGEST_ROUND: Duration = Duration::from_mins(10);

/// What the ledger answers, or that it is away when it says nothing for too long.
pub(crate) fn answered<T>(asked: impl Future<Output = Result<T, Error>>) -> impl Future<Output = Result<T, Error>> {
    within(SILENCE, asked)
}

/// What a janitor's round came to, or that the ledger is away when it does not end.
pub(crate) fn ended<T, E: From<Error>>(
    round: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    within(LONGEST_ROUND, round)
}

/// Offers something to the ledger a few times: deadlocks and short absences pass.
pub(crate) async fn offered<T, F>(offer: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match answered(offer()).await {
            Err(Error::Unavailable(error)) => {
                tracing::warn!(%error, "the ledger did not take what it was offered; trying again");
                sleep(pause).await;
                pause *= 3;
            }
            answer => return answer,
        }
    }
    answered(offer()).await
}

/// A question takes 15 kB, nearly all of it for a connection that may have to be opened. It is boxed before the returned future is made, so
/// that no job holds room for all of its questions; an `async fn` would keep its argument beside the box.
fn within<T, E: From<Error>>(
    most: Duration,
    asked: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    let asked = Box::pin(asked);
    async move {
        let answer = tokio::time::timeout(most, asked).await;
        answer.unwrap_or_else(|silence| Err(Error::Unavailable(Box::new(silence)).into()))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ledger_that_never_answers_is_away() {
        let silent = answered(std::future::pending::<Result<(), Error>>()).await;
        assert!(matches!(silent, Err(Error::Unavailable(_))));
        assert!(matches!(answered(std::future::ready(Ok(1))).await, Ok(1)));
    }

    #[test]
    fn who_asks_keeps_no_room_for_the_question() {
        let question = async {
            let room = [0_u8; 10_000];
            std::future::ready(()).await;
            Ok::<_, Error>(room.len())
        };
        assert!(size_of_val(&question) >= 10_000);
        assert!(size_of_val(&answered(question)) < 500);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_ledger_does_not_take_at_first_is_offered_again_and_what_it_cannot_take_is_not() {
        for (refusals, taken) in [(5, true), (6, false)] {
            let offers = Cell::new(0);
            let answer = offered(|| {
                offers.set(offers.get() + 1);
                std::future::ready(if offers.get() > refusals {
                    Ok(())
                } else {
                    Err(Error::Unavailable("busy".into()))
                })
            });
            assert_eq!((answer.await.is_ok(), offers.get()), (taken, 6));
        }
        let offers = Cell::new(0);
        let answer = offered(|| {
            offers.set(offers.get() + 1);
            std::future::ready(Err::<(), _>(Error::Unreadable("a zero byte".to_owned())))
        });
        assert_eq!((answer.await.is_ok(), offers.get()), (false, 1));
    }
}
