//! Bodies, read up to their limit and not a byte further.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use shared::boot::BODY_MAX;

/// Of a body that nobody wants so much is passed over; of a longer one the rest is not waited for.
const PASS_OVER_MAX: usize = 8 * BODY_MAX;

/// Why a body is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is longer than a function takes.
    TooLarge,
    /// The connection broke, or its pieces are none of HTTP's.
    Broken,
}

/// Reads a body of at most [`BODY_MAX`] bytes. One that is longer is passed over, so that its sender sees the answer.
pub(super) async fn read(mut body: Incoming) -> Result<Vec<u8>, Refused> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > BODY_MAX {
        pass_over(body).await;
        return Err(Refused::TooLarge);
    }
    let mut read = Vec::with_capacity(announced);
    while let Some(piece) = next(&mut body).await? {
        if read.len() + piece.len() > BODY_MAX {
            pass_over(body).await;
            return Err(Refused::TooLarge);
        }
        read.extend_from_slice(&piece);
    }
    Ok(read)
}

/// Reads what is left and keeps none of it.
pub(super) async fn pass_over(mut body: Incoming) {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut left = PASS_OVER_MAX.checked_sub(announced).map_or(0, |_| PASS_OVER_MAX);
    while left > 0 {
        match next(&mut body).await {
            Ok(Some(piece)) => left = left.saturating_sub(piece.len()),
            Ok(None) | Err(_) => return,
        }
    }
}

/// The next piece; none at the end. Trailers say nothing to us.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Refused> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(_)) => return Err(Refused::Broken),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}
