"""What the codes of the store, the machine, leases, the runner and the executors mean."""

from __future__ import annotations

CODES: dict[str, str] = {
    "E-STORE-01": "A file of an object is shorter or longer than its manifest says: it was cut off, or something was "
    "appended. The object is never used. While a study runs it is moved to the store's quarantine/ folder "
    "and made again; with --no-rebuild nothing is moved and the command stops.",
    "E-STORE-02": "The bytes of a file, or of a manifest, do not have the recorded SHA-256: a disk error, or someone "
    "edited it. The object is never used: it is moved to quarantine/ and made again, or refused with "
    "--no-rebuild. `retrain-equivalence store verify` checks every byte of the store.",
    "E-STORE-03": "An object lies in the folder of another key, or its recipe and parents do not give its key: folders "
    "were swapped or copied by hand, or a manifest was edited. Keys are derived again at every opening, "
    "so it is never used.",
    "E-STORE-04": "An object, or a file of one, that something needs is not in the store: it was removed by hand, set "
    "aside as damaged, or collected as garbage. Running the study that makes it brings it back.",
    "E-STORE-05": "The store holds something that it would not write: a file that no manifest lists, a link, a pipe or "
    "a folder in place of a file, a folder with another name than a key, or a store that everybody may "
    "write to. Such an object is never used.",
    "E-STORE-06": "The same recipe gave two different results. Both are kept: one in its place, one in quarantine/. "
    "Either the hardware or a setting is not deterministic, or something that moves numbers is missing "
    "from the recipe. `retrain-equivalence doctor` checks the settings.",
    "E-STORE-07": "The folder is not a store of a format that this version reads: its FORMAT file is missing, "
    "unreadable, or of another version. Nothing is guessed or converted. Upgrade, restore FORMAT, or "
    "choose another folder with --store.",
    "E-ENV-01": "The disk, or the quota, is full. What was being written is not committed and leaves nothing behind; "
    "everything committed before is intact. Free space, or choose another store with --store, and run "
    "again.",
    "E-ENV-02": "A file or folder of the store or of the results cannot be written: this user may not, or the "
    "file system is mounted read-only. Reading verbs (status, store ls) still work; --store and --out name other "
    "places.",
    "E-ENV-03": "The operating system reported an input/output error, for example a failed fsync. What was being "
    "written is not committed, and the same file is never tried again: the kernel may report success for "
    "lost data.",
    "E-ENV-04": "A limit of the process is reached: open files (ulimit -n) or file size (ulimit -f). Raise it and run "
    "again.",
    "E-ENV-05": "Memory ran out in a task. Nothing is retried with smaller batches, since that would change the "
    "numbers. Use fewer workers, or change the micro-batch in the study: that makes new keys.",
    "E-ENV-09": "A worker process found other source files of this package than the process that made the plan, so it "
    "might compute something else under the same key. Do not install or edit the package during a run; "
    "run again.",
    "E-ENV-10": "The store's file system does not keep what a commit relies on: exclusive creation, a rename that "
    "does not replace, or it is on a network, where rename and fsync promise less. Use a local folder; a "
    "network file system can be accepted with --allow-network-fs.",
    "E-ENV-11": "A command that only looks at a store was given a place where none is. Such commands make none. Name "
    "the store that the study ran on with --store or RETRAIN_EQUIVALENCE_STORE; a run makes one where it is missing.",
    "E-LOCK-01": "A task is leased by a run on another host (or in another container) that has given no sign of life "
    "for long. It is never taken over by age alone, since that run may only be slow. If it is dead, "
    "remove the lease with `retrain-equivalence store unlock KEY` and run again.",
    "E-LOCK-02": "The store is busy: garbage is collected only while no run uses it, and no run starts meanwhile. Run "
    "again when the other command has ended.",
    "E-RUN-10": "A worker process died while it did a task: killed by the system when memory ran out, by a person, or "
    "by a crash in native code. The task is tried again in a new worker; after three deaths it counts as "
    "failed and the rest goes on.",
    "E-RUN-11": "A task raised an error that the package does not know: a bug in it or in a plug-in. The task and "
    "what depends on it are not made, everything else is. --debug shows the traceback.",
    "E-RUN-12": "A task ended without an error and without leaving its object in the store: a bug in its body.",
    "E-RUN-13": "The workers could not be opened at all, so no task could be done: the message has the first reason. "
    "With --workers 0 the tasks run in the command's own process, which shows more.",
}
