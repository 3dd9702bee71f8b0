//! Archives of blocks, one after another (`CARv1` of the IPLD specifications): what nodes import and
//! gateways answer.

mod header;
mod reader;
mod writer;

pub use header::{MAX_CAR_HEADER, MAX_CAR_ROOTS};
pub use reader::{CarEvent, CarReader};
pub use writer::{car_frame, car_header, no_root};
