//! shell
#![allow(missing_docs)]
mod abi { alloy::sol!(#![sol(rpc, all_derives)] "../contracts/src/IProtocol.sol"); 
}
