"""`python -m acagent_nb` is the command `acagent-nb`."""

from .cli import main

raise SystemExit(main())
