"""Others' results, judged by our rules: runs of an unlearned and of a retrained model, and published single-run tables.

Readers (`evaluation_log`, `runs_table`) turn files into `Runs`; `judge` turns those into a `Judgement`;
`recency_claims` asks what a published table of single runs can carry. Nothing here trains, downloads or needs torch.
"""
