// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IFlexibilityToken} from "../IProtocol.sol";

/// @title Reward for flexibility that a certificate proves
contract FlexibilityToken is ERC20, IFlexibilityToken {
    /// @notice Who may mint: Settlement.
    address public immutable minter;

    constructor(address minter_) ERC20("Provolt Flexibility", "PVF") {
        minter = minter_;
    }

    /// @inheritdoc IFlexibilityToken
    function mint(address to, uint256 amount) external {
        require(msg.sender == minter, NotMinter(msg.sender, minter));
        _mint(to, amount);
    }

    /// @inheritdoc ERC20
    /// @dev The credit token's decimals, so that one token stands for one unit of money of worth.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @inheritdoc ERC20
    function balanceOf(address account) public view override(ERC20, IFlexibilityToken) returns (uint256) {
        return super.balanceOf(account);
    }

    /// @inheritdoc ERC20
    function totalSupply() public view override(ERC20, IFlexibilityToken) returns (uint256) {
        return super.totalSupply();
    }
}
