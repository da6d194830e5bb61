package s3

import "net/http"

// selector is a query parameter that chooses another operation than method and path alone do.
type selector struct {
	param  string
	at     level
	method string
	op     opID   // opNone: the operation is not implemented
	name   string // of the operation that is not implemented
}

// selectors lists every such parameter of S3. One that is sent with a level and method not listed is refused
// too.
var selectors = []selector{
	{"location", atBucket, get, opGetBucketLocation, ""},
	{"cors", atBucket, get, opGetBucketCors, ""},
	{"cors", atBucket, put, opPutBucketCors, ""},
	{"cors", atBucket, del, opDeleteBucketCors, ""},
	{"list-type", atBucket, get, opListObjectsV2, ""},
	{"uploads", atBucket, get, opListMultipartUploads, ""},
	{"delete", atBucket, post, opDeleteObjects, ""},
	{"uploads", atObject, post, opCreateMultipartUpload, ""},
	{"uploadId", atObject, put, opUploadPart, ""},
	{"uploadId", atObject, post, opCompleteMultipartUpload, ""},
	{"uploadId", atObject, del, opAbortMultipartUpload, ""},
	{"uploadId", atObject, get, opListParts, ""},

	{"abac", atBucket, get, opNone, "GetBucketAbac"},
	{"abac", atBucket, put, opNone, "PutBucketAbac"},
	{"accelerate", atBucket, get, opNone, "GetBucketAccelerateConfiguration"},
	{"accelerate", atBucket, put, opNone, "PutBucketAccelerateConfiguration"},
	{"acl", atBucket, get, opNone, "GetBucketAcl"},
	{"acl", atBucket, put, opNone, "PutBucketAcl"},
	{"acl", atObject, get, opNone, "GetObjectAcl"},
	{"acl", atObject, put, opNone, "PutObjectAcl"},
	{"analytics", atBucket, get, opNone, "GetBucketAnalyticsConfiguration"},
	{"analytics", atBucket, put, opNone, "PutBucketAnalyticsConfiguration"},
	{"analytics", atBucket, del, opNone, "DeleteBucketAnalyticsConfiguration"},
	{"attributes", atObject, get, opNone, "GetObjectAttributes"},
	{"encryption", atBucket, get, opNone, "GetBucketEncryption"},
	{"encryption", atBucket, put, opNone, "PutBucketEncryption"},
	{"encryption", atBucket, del, opNone, "DeleteBucketEncryption"},
	{"intelligent-tiering", atBucket, get, opNone, "GetBucketIntelligentTieringConfiguration"},
	{"intelligent-tiering", atBucket, put, opNone, "PutBucketIntelligentTieringConfiguration"},
	{"intelligent-tiering", atBucket, del, opNone, "DeleteBucketIntelligentTieringConfiguration"},
	{"inventory", atBucket, get, opNone, "GetBucketInventoryConfiguration"},
	{"inventory", atBucket, put, opNone, "PutBucketInventoryConfiguration"},
	{"inventory", atBucket, del, opNone, "DeleteBucketInventoryConfiguration"},
	{"legal-hold", atObject, get, opNone, "GetObjectLegalHold"},
	{"legal-hold", atObject, put, opNone, "PutObjectLegalHold"},
	{"lifecycle", atBucket, get, opNone, "GetBucketLifecycleConfiguration"},
	{"lifecycle", atBucket, put, opNone, "PutBucketLifecycleConfiguration"},
	{"lifecycle", atBucket, del, opNone, "DeleteBucketLifecycle"},
	{"logging", atBucket, get, opNone, "GetBucketLogging"},
	{"logging", atBucket, put, opNone, "PutBucketLogging"},
	{"metadataConfiguration", atBucket, get, opNone, "GetBucketMetadataConfiguration"},
	{"metadataConfiguration", atBucket, post, opNone, "CreateBucketMetadataConfiguration"},
	{"metadataConfiguration", atBucket, del, opNone, "DeleteBucketMetadataConfiguration"},
	{"metadataInventoryTable", atBucket, put, opNone, "UpdateBucketMetadataInventoryTableConfiguration"},
	{"metadataJournalTable", atBucket, put, opNone, "UpdateBucketMetadataJournalTableConfiguration"},
	{"metadataTable", atBucket, get, opNone, "GetBucketMetadataTableConfiguration"},
	{"metadataTable", atBucket, post, opNone, "CreateBucketMetadataTableConfiguration"},
	{"metadataTable", atBucket, del, opNone, "DeleteBucketMetadataTableConfiguration"},
	{"metrics", atBucket, get, opNone, "GetBucketMetricsConfiguration"},
	{"metrics", atBucket, put, opNone, "PutBucketMetricsConfiguration"},
	{"metrics", atBucket, del, opNone, "DeleteBucketMetricsConfiguration"},
	{"notification", atBucket, get, opNone, "GetBucketNotificationConfiguration"},
	{"notification", atBucket, put, opNone, "PutBucketNotificationConfiguration"},
	{"object-lock", atBucket, get, opNone, "GetObjectLockConfiguration"},
	{"object-lock", atBucket, put, opNone, "PutObjectLockConfiguration"},
	{"ownershipControls", atBucket, get, opNone, "GetBucketOwnershipControls"},
	{"ownershipControls", atBucket, put, opNone, "PutBucketOwnershipControls"},
	{"ownershipControls", atBucket, del, opNone, "DeleteBucketOwnershipControls"},
	{"policy", atBucket, get, opNone, "GetBucketPolicy"},
	{"policy", atBucket, put, opNone, "PutBucketPolicy"},
	{"policy", atBucket, del, opNone, "DeleteBucketPolicy"},
	{"policyStatus", atBucket, get, opNone, "GetBucketPolicyStatus"},
	{"publicAccessBlock", atBucket, get, opNone, "GetPublicAccessBlock"},
	{"publicAccessBlock", atBucket, put, opNone, "PutPublicAccessBlock"},
	{"publicAccessBlock", atBucket, del, opNone, "DeletePublicAccessBlock"},
	{"renameObject", atObject, put, opNone, "RenameObject"},
	{"replication", atBucket, get, opNone, "GetBucketReplication"},
	{"replication", atBucket, put, opNone, "PutBucketReplication"},
	{"replication", atBucket, del, opNone, "DeleteBucketReplication"},
	{"requestPayment", atBucket, get, opNone, "GetBucketRequestPayment"},
	{"requestPayment", atBucket, put, opNone, "PutBucketRequestPayment"},
	{"restore", atObject, post, opNone, "RestoreObject"},
	{"retention", atObject, get, opNone, "GetObjectRetention"},
	{"retention", atObject, put, opNone, "PutObjectRetention"},
	{"select", atObject, post, opNone, "SelectObjectContent"},
	{"session", atBucket, get, opNone, "CreateSession"},
	{"tagging", atBucket, get, opNone, "GetBucketTagging"},
	{"tagging", atBucket, put, opNone, "PutBucketTagging"},
	{"tagging", atBucket, del, opNone, "DeleteBucketTagging"},
	{"tagging", atObject, get, opNone, "GetObjectTagging"},
	{"tagging", atObject, put, opNone, "PutObjectTagging"},
	{"tagging", atObject, del, opNone, "DeleteObjectTagging"},
	{"torrent", atObject, get, opNone, "GetObjectTorrent"},
	{"versioning", atBucket, get, opNone, "GetBucketVersioning"},
	{"versioning", atBucket, put, opNone, "PutBucketVersioning"},
	{"versions", atBucket, get, opNone, "ListObjectVersions"},
	{"website", atBucket, get, opNone, "GetBucketWebsite"},
	{"website", atBucket, put, opNone, "PutBucketWebsite"},
	{"website", atBucket, del, opNone, "DeleteBucketWebsite"},
}

const (
	get  = http.MethodGet
	put  = http.MethodPut
	post = http.MethodPost
	del  = http.MethodDelete
)

// selectorsOf finds selectors by their parameter.
var selectorsOf = func() map[string][]selector {
	m := make(map[string][]selector, len(selectors))
	for _, s := range selectors {
		m[s.param] = append(m[s.param], s)
	}
	return m
}()
