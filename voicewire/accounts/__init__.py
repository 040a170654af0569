"""People, tenants, their plans and what they used: the rules, over what `storage` keeps."""
