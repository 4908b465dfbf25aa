@rem The scripts of package.json begin with `exec`, by which a Unix shell gives its place to Node, so that signals from npm
@rem reach it. cmd.exe knows no such command, and finds this file.
@%*
