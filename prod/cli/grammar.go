package cli

import (
	"granary/prod/config"
)

// grammar is the command line, as kong reads it.
type grammar struct {
	globals

	Server serverCmd `cmd:"" help:"Run a node, or with --dev a store for trying things out."`
	Init   initCmd   `cmd:"" help:"Found a cluster with this machine as its first node."`
	Join   joinCmd   `cmd:"" help:"Add this machine to a cluster."`
	Env    envCmd    `cmd:"" help:"Print the environment of S3 clients for the --dev store here."`
	Status statusCmd `cmd:"" help:"Show the node, the cluster, what is missing and what to worry about."`

	Bucket struct {
		List        bucketListCmd        `cmd:"" help:"List buckets."`
		Create      bucketCreateCmd      `cmd:"" help:"Create a bucket."`
		Delete      bucketDeleteCmd      `cmd:"" help:"Delete an empty bucket."`
		Info        bucketInfoCmd        `cmd:"" help:"Show a bucket and who may use it."`
		Allow       bucketAllowCmd       `cmd:"" help:"Let a key use a bucket."`
		Deny        bucketDenyCmd        `cmd:"" help:"Take permissions in a bucket from a key."`
		Consistency bucketConsistencyCmd `cmd:"" help:"Set what reads of a bucket's objects promise."`
		CORS        bucketCORSCmd        `cmd:"" name:"cors" help:"Show or set what other origins may do."`
	} `cmd:"" help:"Buckets."`
	Key struct {
		List   keyListCmd   `cmd:"" help:"List access keys."`
		Create keyCreateCmd `cmd:"" help:"Create an access key and print its secret."`
		Import keyImportCmd `cmd:"" help:"Import an access key; its secret is read from standard input."`
		Delete keyDeleteCmd `cmd:"" help:"Revoke an access key."`
		Info   keyInfoCmd   `cmd:"" help:"Show an access key and its buckets."`
	} `cmd:"" help:"Access keys."`
	K2V    k2vCmd `cmd:"" name:"k2v" help:"Items of concurrent values under two keys."`
	Layout struct {
		Show    layoutShowCmd    `cmd:"" help:"Show who stores what, and what is staged."`
		Assign  layoutAssignCmd  `cmd:"" help:"Stage the role of a node."`
		Remove  layoutRemoveCmd  `cmd:"" help:"Stage that a node has no role."`
		Params  layoutParamsCmd  `cmd:"" help:"Stage parameters: replicas, zones, partitions, tolerance."`
		Plan    layoutPlanCmd    `cmd:"" help:"Show what applying what is staged would do."`
		Apply   layoutApplyCmd   `cmd:"" help:"Make a layout version of what is staged."`
		Revert  layoutRevertCmd  `cmd:"" help:"Withdraw what is staged, or stage an earlier version."`
		History layoutHistoryCmd `cmd:"" help:"List the versions of the layout and what each changed."`
		Explain layoutExplainCmd `cmd:"" help:"Say what limits the layout, or why a node has what it has."`
		// Without a server if --roles is given.
		Simulate  layoutSimulateCmd  `cmd:"" help:"Show what a layout would be, here or in a file."`
		Buy       layoutBuyCmd       `cmd:"" help:"Say which capacity is the cheapest that reaches a target."`
		Rebalance layoutRebalanceCmd `cmd:"" help:"Place anew what is there, more evenly, on a budget."`
	} `cmd:"" help:"What the nodes are there for."`
	Node struct {
		List       nodeListCmd       `cmd:"" help:"List the members of the cluster."`
		Remove     nodeRemoveCmd     `cmd:"" help:"Remove a member for good."`
		AcceptLoss nodeAcceptLossCmd `cmd:"" help:"Give a node up whose data is gone for good."`
	} `cmd:"" help:"Members of the cluster."`
	Block struct {
		Lost   blockLostCmd   `cmd:"" help:"List the blocks that are on no node in reach, and their objects."`
		GiveUp blockGiveUpCmd `cmd:"" help:"Have nobody wait for blocks that no node has any more."`
	} `cmd:"" help:"Blocks that are lost."`
	Scrub struct {
		Start  scrubStartCmd  `cmd:"" help:"Read every block and row of this node now; heal what is damaged."`
		Status scrubStatusCmd `cmd:"" help:"Show what the scrub has found, disk by disk."`
	} `cmd:"" help:"The blocks of the node, verified."`
	Job struct {
		List   jobListCmd   `cmd:"" help:"Show the background work of the node: how far, how fast."`
		Pause  jobPauseCmd  `cmd:"" help:"Pause a job until it is resumed or the node starts again."`
		Resume jobResumeCmd `cmd:"" help:"Let a paused job go on."`
		Speed  jobSpeedCmd  `cmd:"" help:"Bound the bytes per second that a job moves."`
	} `cmd:"" help:"Background work of the node."`
	Check   checkCmd   `cmd:"" help:"Look for damage in the data folder of a stopped node."`
	Restore restoreCmd `cmd:"" help:"Put a snapshot in the place of the metadata of a stopped node."`
	Token   tokenCmd   `cmd:"" help:"Issue a token with which one more machine can join."`
	Config  struct {
		Check   configCheckCmd   `cmd:"" help:"Check the configuration and report every fault."`
		Show    configShowCmd    `cmd:"" help:"Show every value and where it comes from."`
		Example configExampleCmd `cmd:"" help:"Print a configuration file with every key explained."`
		Token   configTokenCmd   `cmd:"" help:"Draw a bearer token for the admin API, and its hash."`
	} `cmd:"" help:"The configuration."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// globals are the flags of every command.
type globals struct {
	Data   string `short:"d" placeholder:"DIR" help:"Data folder (./granary-data)."`
	Config string `short:"c" name:"config" placeholder:"FILE" help:"Configuration (DIR/granary.toml)."`
	JSON   bool   `name:"json" help:"Print JSON."`
	Admin  string `placeholder:"URL" help:"Admin API over TCP; its token is in GRANARY_ADMIN_TOKEN."`
}

// settings are the flags that set keys of the configuration.
type settings struct {
	Name        *string  `placeholder:"NAME" help:"Name of the node for people."`
	Zone        *string  `placeholder:"ZONE" help:"The place this node shares its fate with: a site, a room."`
	Capacity    *string  `placeholder:"SIZE" help:"What the node offers: 500G, 1.5T (what the disk has)."`
	Advertise   *string  `placeholder:"HOST[:PORT]" help:"Where other nodes reach this one."`
	PeersListen *string  `placeholder:"ADDR" help:"Address for other nodes."`
	S3Listen    *string  `name:"s3-listen" placeholder:"ADDR" help:"Address for S3 clients (127.0.0.1:3900)."`
	AdminListen *string  `placeholder:"ADDR" help:"Address of the admin API over TCP (none)."`
	Region      *string  `placeholder:"REGION" help:"The region S3 clients sign for (us-east-1)."`
	LogLevel    *string  `placeholder:"LEVEL" help:"debug, info, warn or error (info)."`
	Set         []string `sep:"none" placeholder:"KEY=VALUE" help:"Set any key of the configuration."`
}

// flags returns what was set.
func (s settings) flags() ([]config.Setting, error) {
	var list []config.Setting
	for _, f := range []struct {
		key, flag string
		value     *string
	}{
		{"node.name", "--name", s.Name}, {"node.zone", "--zone", s.Zone},
		{"node.capacity", "--capacity", s.Capacity},
		{"peers.advertise", "--advertise", s.Advertise}, {"peers.listen", "--peers-listen", s.PeersListen},
		{"s3.listen", "--s3-listen", s.S3Listen}, {"admin.listen", "--admin-listen", s.AdminListen},
		{"s3.region", "--region", s.Region}, {"log.level", "--log-level", s.LogLevel},
	} {
		if f.value != nil {
			list = append(list, config.Setting{Key: f.key, Value: *f.value, Flag: f.flag})
		}
	}
	sets, err := parseSets(s.Set)
	return append(list, sets...), err
}
