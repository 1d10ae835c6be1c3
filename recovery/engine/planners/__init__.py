"""Pure planners: a request and what inspection found in, an immutable Plan out. Nothing here touches a disk."""
